"""How a phone number is written where not everybody may read it whole; the bridge does the same (`node_bridge/src/mask.js`)."""

STARS = "*****"  # as many whatever the number: its length tells nothing


def mask_phone(phone: str) -> str:
    """+4915112345678 becomes +49151*****78."""
    shown = 6 if phone.startswith("+") else 5
    return f"{phone[:shown]}{STARS}{phone[-2:]}" if len(phone) > shown + 2 else STARS
