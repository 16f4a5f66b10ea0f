"""What `up` tells once it is ready: one block for people, `up.json` for programs."""

import json
from pathlib import Path
from typing import Any

from restaurant_wa.local.vault import write_private

SIMULATED = "WhatsApp is SIMULATED: everything stays on this machine, no real phone gets a message."
LIVE = (
    "This is the REAL WhatsApp. Automating a linked device is unofficial: WhatsApp may restrict or ban the number.\n"
    "  Use a number you can afford to lose."
)


def facts(*, url: str, simulator_url: str, demo: dict[str, Any]) -> dict[str, Any]:
    """The content of `up.json`."""
    return {"url": url, **demo, "simulator_url": simulator_url or None, "simulated": bool(simulator_url)}


def write(data: Path, content: dict[str, Any]) -> None:
    write_private(data / "up.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def withdraw(data: Path) -> None:
    """`up.json` is there while what it tells is running: whoever waits for it waits for this start."""
    (data / "up.json").unlink(missing_ok=True)


def curl(content: dict[str, Any]) -> str:
    body = json.dumps({"to": content["example_to"], "text": "Your order is on its way!"})
    return (
        f"curl -X POST {content['url']}/api/v1/messages \\\n"
        f"    -H 'Authorization: Bearer {content['api_key']}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{body}'"
    )


def block(content: dict[str, Any], *, data: Path, seconds: float) -> str:
    admin = content["admin"]
    rows = [
        ("Admin", f"{content['url']}/admin/"),
        ("", f"user {admin['username']}, password {admin['password']}"),
        ("API", f"{content['url']}/api/v1/docs"),
        ("API key", content["api_key"]),
        ("Restaurant", content["restaurant_name"]),
        *([("To be linked", content["to_link"])] if content.get("to_link") else []),
        *([("Virtual phones", content["simulator_url"])] if content["simulator_url"] else []),
        ("Logs and data", f"{data} (the same facts: up.json)"),
    ]
    lines = [f"  {name:<15}{value}" for name, value in rows]
    simulated = "Send a message; it appears on the virtual phone seconds later:"
    live = "Link a number, put your own phone's number in place of the customer's, and send a message:"
    return "\n".join(
        [
            "",
            f"Restaurant WA is up ({seconds:.1f} s). Ctrl-C stops it.",
            f"  {SIMULATED if content['simulated'] else LIVE}",
            "",
            *lines,
            "",
            f"  {simulated if content['simulated'] else live}",
            "",
            f"  {curl(content)}",
            "",
        ]
    )
