"""What becomes true of a connection: takes it from the bridge's words into what this worker knows, and marks it to be written."""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from sessions_app.policy.reactions import Reaction, quarantine, react
from sessions_app.policy.restrictions import ban_ends_at
from sessions_app.policy.signals import Ban, Connected
from workers.bridge import Status
from workers.clocks import DatabaseClock, steady
from workers.table import Owned
from workers.truths import Truths

log = structlog.get_logger(__name__)


class Changes:
    """`opening` holds the logins under way: in from the call, out with the first answer that is not "connecting"."""

    def __init__(self, *, truths: Truths, clock: DatabaseClock) -> None:
        self.opening: set[UUID] = set()
        self._truths = truths
        self._clock = clock

    def take(self, owned: Owned, status: Status) -> None:
        owned.heard += 1
        if status.state == "closed":
            # What this worker asked for it knows from the answer, and a connection ends once.
            if status.close_reason != "requested" and owned.open != "no":
                self.closed(owned, status.close_reason, status.close_detail)
        else:
            if status.state != "connecting":
                self.opening.discard(owned.id)
            {"linking": self._linking, "connecting": self._connecting, "connected": self._connected}[status.state](owned, status)

    def _linking(self, owned: Owned, status: Status) -> None:
        owned.open = "linking"
        shown = status.qr or status.pairing_code
        truth = owned.truth
        truth.qr = status.qr.text if status.qr else ""
        truth.pairing_code = status.pairing_code.text if status.pairing_code else ""
        truth.qr_generated_at = shown.generated_at if shown else None
        truth.qr_expires_at = shown.expires_at if shown else None
        self.say(owned, "linking", "", "")

    def _connecting(self, owned: Owned, status: Status) -> None:
        if owned.open == "linking":
            owned.opened_at, owned.login_ended = steady(), None
        owned.open = "connecting"
        self._hide_codes(owned)
        self.say(owned, "connecting", "", "" if owned.truth.linked else "The phone has scanned the code.")

    def _connected(self, owned: Owned, status: Status) -> None:
        truth = owned.truth
        if owned.open != "connected":
            owned.open, owned.up_since = "connected", steady()
            owned.login_ended = owned.up_since
            truth.connected_at = owned.asked_at = self._clock.now()  # the bridge asks at each login
        self._hide_codes(owned)
        truth.linked, truth.retry_at, truth.failures = True, None, 0
        truth.link_ended = owned.row.link_until or truth.link_ended
        truth.phone, truth.lid, truth.push_name = (
            status.phone or truth.phone,
            status.lid or truth.lid,
            status.name or truth.push_name,
        )
        if truth.connected_at and ban_ends_at(owned.pacer.number.known) is not None:
            truth.facts.append(Connected(truth.connected_at))  # it holds the number no more
        self.say(owned, "connected", "", "")

    def closed(self, owned: Owned, reason: str, detail: dict[str, Any]) -> None:
        """The connection ended by itself."""
        up_for = None if owned.up_since is None else timedelta(seconds=steady() - owned.up_since)
        reaction = react(
            reason,
            linked=owned.truth.linked,
            failures=owned.failures,
            connected_for=up_for,
            detail=detail,
            now=self._clock.now(),
            jitter=random.random(),
            crashes=owned.truth.crashes,
        )
        if reason == "banned_temporarily":
            owned.truth.facts.append(Ban(self._clock.now(), detail.get("until")))
        self._react(owned, reaction, until=detail.get("until") if reason == "banned_temporarily" else None)

    def quarantine(self, owned: Owned) -> None:
        log.error("session.quarantined", session=str(owned.id), bridge_deaths=owned.truth.bridge_deaths)
        reaction = quarantine(linked=owned.truth.linked, failures=owned.failures, crashes=owned.truth.crashes)
        self._react(owned, reaction)

    def _react(self, owned: Owned, reaction: Reaction, until: datetime | None = None) -> None:
        self.gone(owned)
        owned.failures = owned.truth.failures = reaction.failures
        owned.truth.crashes = reaction.crashes
        owned.wipe = reaction.wipe
        owned.truth.retry_at = reaction.retry_at
        if reaction.end_link:
            owned.truth.link_ended = owned.row.link_until
        self.say(owned, reaction.state, reaction.reason, reaction.detail, until=until)
        if reaction.alert:
            who = {"session": str(owned.id), "restaurant": str(owned.row.restaurant)}
            log.error("session.needs_attention", **who, reason=reaction.reason, detail=reaction.detail)

    def no_credentials(self, owned: Owned) -> None:
        self.gone(owned)
        owned.truth.linked = False
        detail = "No credentials are held. Link the number again; waiting messages are kept."
        self.say(owned, "logged_out", "not_linked", detail)

    def gone(self, owned: Owned) -> None:
        owned.open, owned.linking_phone, owned.up_since = "no", None, None
        owned.login_ended = owned.login_ended or steady()
        self.opening.discard(owned.id)
        self._hide_codes(owned)

    def _hide_codes(self, owned: Owned) -> None:
        truth = owned.truth
        truth.qr = truth.pairing_code = ""
        truth.qr_generated_at = truth.qr_expires_at = None

    def say(self, owned: Owned, state: str, reason: str, detail: str, until: datetime | None = None) -> None:
        """`until`: when WhatsApp says that it ends."""
        truth = owned.truth
        if (truth.state, truth.reason) != (state, reason):
            more = {"reason": reason, "until": until.isoformat() if until else ""}
            truth.events.append({"from": truth.state, "to": state, **{name: value for name, value in more.items() if value}})
            log.info("session.state", session=str(owned.id), restaurant=str(owned.row.restaurant), state=state, reason=reason)
        truth.state, truth.reason, truth.detail = state, reason, detail
        self._truths.mark(owned)
