"""A restaurant's linked number and the customer it writes to, on real parts: by the API, as an ordering system would."""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import quote

from tests.support.http import Json
from tests.support.stack import Stack, eventually

MAKE_KEY = """
from sessions_app.models import Restaurant
from sessions_app.services import api_keys
print("key:" + api_keys.issue(restaurant=Restaurant.objects.create(name="R", default_region="DE"), name="till")[1])
"""
SENT = ("sent", "delivered", "read")
SOON = timedelta(seconds=1)  # between a wait that is reckoned and the row that is written with it
_numbers = count(1)


def new_key(stack: Stack) -> Json:
    """The API of a new restaurant."""
    return stack.api.with_key(stack.manage("shell", "-c", MAKE_KEY).partition("key:")[2].strip())


@dataclass(frozen=True)
class Line:
    stack: Stack
    api: Json
    session: str
    number: str
    customer: str

    @classmethod
    def make(cls, stack: Stack, api: Json) -> "Line":
        number, customer = (f"+49151{place}{next(_numbers):07}" for place in (1, 2))
        for phone in (number, customer):
            stack.network.post("/api/phones", {"number": phone})
        return cls(stack, api, api.post("/api/v1/sessions", {"name": number})["id"], number, customer)

    # --- The session

    @property
    def row(self) -> dict[str, Any]:
        return self.stack.sql("SELECT * FROM wa_session WHERE id = %s", self.session)[0]

    def link(self) -> "Line":
        self.api.post(f"{self._here}/link", {"method": "qr"})
        code = eventually(lambda: self.row["qr"], what="a QR code", timeout=30)
        self.stack.network.post(f"{self._phone}/scan", {"qr": code})
        self.until("connected")
        return self

    def until(self, state: str, reason: str = "", *, timeout: float = 30) -> dict[str, Any]:
        """The row, once it says so."""

        def reached() -> dict[str, Any]:
            row = self.row
            return row if (row["state"], row["state_reason"]) == (state, reason) else {}

        return eventually(reached, what=f"{state} {reason}, was {self.row['state']} {self.row['state_reason']}", timeout=timeout)

    def log_out(self) -> None:
        self.api.post(f"{self._here}/log-out")
        eventually(lambda: self.row["linked_at"] is None, what="the log-out")

    def on_another_phone(self) -> "Line":
        """The same session, to be linked to a new number."""
        number = f"+491513{next(_numbers):07}"
        self.stack.network.post("/api/phones", {"number": number})
        return replace(self, number=number)

    def restart(self) -> None:
        self.api.post(f"{self._here}/restart")

    def let_go(self) -> None:
        """Kept offline: nobody owns it any more."""
        if self.row["linked_at"]:
            self.api.post(f"{self._here}/stop")
        eventually(lambda: self.row["owner_id"] is None, what="its release")

    def start(self) -> None:
        self.api.post(f"{self._here}/start")

    def heal(self) -> None:
        """No fault any more: a person presses Restart, and the session connects and sends again."""
        self.stack.network.delete("/api/faults")
        self.restart()
        self.until("connected")

    def ended(self) -> list[str]:
        """Why its connections ended, oldest first."""
        events = "SELECT detail->>'reason' AS why FROM wa_session_event WHERE session_id = %s AND kind = 'state' ORDER BY id"
        return [event["why"] for event in self.stack.sql(events, self.session) if event["why"] not in (None, "restarting")]

    # --- Its messages

    def send(self, text: str, to: str = "", priority: str = "normal") -> str:
        order = {"session_id": self.session, "to": to or self.customer, "text": text, "priority": priority}
        return str(self.api.post("/api/v1/messages", order)["id"])

    def message(self, message: str) -> dict[str, Any]:
        return self.stack.sql("SELECT * FROM message WHERE id = %s", message)[0]

    def until_message(self, message: str, *statuses: str, attempts: int = 0) -> dict[str, Any]:
        def reached() -> dict[str, Any]:
            row = self.message(message)
            return row if row["status"] in statuses and row["attempts"] >= attempts else {}

        return eventually(reached, what=f"{statuses}, was {self.message(message)['status']}", timeout=30)

    def sent(self, *messages: str) -> None:
        for message in messages:
            self.until_message(message, *SENT)

    def hurry(self, message: str) -> None:
        """The wait of this message is over."""
        self.stack.sql("UPDATE message SET not_before = clock_timestamp(), hold_until = NULL WHERE id = %s", message)

    def shown(self, phone: str = "") -> list[tuple[str, int]]:
        """What the customer sees, and how many copies of each came."""
        seen = self.stack.network.get(f"/api/phones/{quote(phone or self.customer)}/shown")["messages"]
        return [(message["text"], message["copies"]) for message in seen if not message["from_me"]]

    def greet(self) -> None:
        """The customer writes first: what is sent to them is no message to a stranger."""
        self.stack.network.post(f"/api/phones/{quote(self.customer)}/messages", {"to": self.number, "text": "hello"})
        wrote = "SELECT 1 FROM contact WHERE session_id = %s AND phone = %s AND last_inbound_at IS NOT NULL"
        eventually(lambda: self.stack.sql(wrote, self.session, self.customer), what="the greeting")

    # --- The network

    def fault(self, on: str, *, times: int = 1, match: dict[str, str] | None = None, **do: Any) -> None:
        order = {"account": self.number, "on": on, "times": times, "do": do, **({"match": match} if match else {})}
        self.stack.network.post("/api/faults", order)

    def cut(self, **how: Any) -> None:
        """Ends its connection: without a word, or with a code or a reason."""
        self.stack.network.post(f"/api/accounts/{quote(self.number)}/disconnect", how)

    def asked(self, xmlns: str) -> int:
        """How many queries of this kind it has made."""
        found = self.stack.network.get("/api/stats")["accounts"].get(self.number, {})
        return int(found.get("asked", {}).get(xmlns, 0))

    @property
    def _here(self) -> str:
        return f"/api/v1/sessions/{self.session}"

    @property
    def _phone(self) -> str:
        return f"/api/phones/{quote(self.number)}"


def growing(base: timedelta, cap: timedelta, failures: int) -> tuple[timedelta, timedelta]:
    """The shortest and the longest wait after that many failures in a row."""
    whole = min(base * 2 ** (failures - 1), cap)
    return whole / 2 - SOON, whole + SOON
