"""What a closed connection means and what to do about it: WhatsApp's signals, one row each."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sessions_app.policy.backoff import backoff

State = Literal["unlinked", "linking", "connecting", "connected", "disconnected", "stopped", "logged_out", "blocked"]
STABLE = timedelta(seconds=60)  # a connection that lasted this long ends a row of failures
MOST_CRASHES = 3  # in a row: another one would come out no better


@dataclass(frozen=True, slots=True)
class Reaction:
    """`retry_at` None means: not by itself; a person must act. `reason` is what the row says, most often the bridge's own."""

    state: State
    reason: str
    detail: str
    retry_at: datetime | None
    failures: int
    crashes: int = 0
    wipe: bool = False
    end_link: bool = False  # showing another code would not help
    alert: bool = False  # somebody should hear of it soon


@dataclass(frozen=True, slots=True)
class _Row:
    detail: str
    state: State = "disconnected"
    base: timedelta = timedelta(seconds=2)
    cap: timedelta = timedelta(minutes=5)
    park: bool = False
    alert: bool = False
    stable: timedelta = STABLE


_SECONDS = timedelta(seconds=1)
_MINUTES = timedelta(minutes=1)
_TABLE: dict[str, _Row] = {
    "connection_lost": _Row("The connection to WhatsApp was lost.", base=_SECONDS),
    "timed_out": _Row("WhatsApp did not answer in time.", base=_SECONDS),
    "restart_required": _Row("WhatsApp asked for a new connection.", base=_SECONDS / 5),
    "held_back": _Row("What WhatsApp kept for us while the disk was full is being fetched.", base=_SECONDS / 5),
    "server_error": _Row("WhatsApp ended the connection with an error."),
    "unavailable": _Row("WhatsApp's server is restarting.", base=5 * _SECONDS),
    "connect_failed": _Row("WhatsApp could not be reached."),
    "store_unavailable": _Row("The credentials could not be read; they are kept.", cap=_MINUTES),
    "bridge_unavailable": _Row("The bridge does not answer.", base=_SECONDS / 2, cap=30 * _SECONDS),
    "crashed": _Row("The bridge's code for this session failed.", base=5 * _SECONDS),
    "client_outdated": _Row("WhatsApp wants a newer client version.", base=10 * _SECONDS, cap=30 * _MINUTES),
    # Fighting over a connection makes both sides worse: wait much longer each time, however long one side has had it.
    "replaced": _Row(
        "Another program uses this link. Stop it, or link the number again.",
        base=30 * _SECONDS,
        cap=30 * _MINUTES,
        stable=60 * _MINUTES,
    ),
    "forbidden": _Row("WhatsApp has banned this number.", state="blocked", park=True, alert=True),
    "locked": _Row(
        "WhatsApp has locked this account. Open WhatsApp on the phone to see why.", state="blocked", park=True, alert=True
    ),
    "not_multidevice": _Row("This phone cannot have linked devices. Update WhatsApp on it, then restart.", "blocked", park=True),
    "banned_temporarily": _Row(
        "WhatsApp has banned this number for a while.", "blocked", 60 * _MINUTES, 24 * 60 * _MINUTES, alert=True
    ),
    "stale_term": _Row("Another worker has taken this session over.", park=True),
}
# Why WhatsApp says it bans for a while, by the `kind` that comes with it.
_BANS = {
    "101": "It wrote to too many people who do not have it among their contacts.",
    "102": "Too many people have blocked it.",
    "103": "It made too many groups with people who do not have it among their contacts.",
    "104": "It sent the same message to too many people.",
    "106": "It sent too many messages to a broadcast list.",
}
_OTHER = _Row("The connection to WhatsApp ended.")
_QUARANTINED = "This session made the bridge crash again and again, so it is kept apart from the others."
_UNTIL_RESTARTED = f"{_QUARANTINED} Its messages wait. Restart it to try again."
_UNTIL_ASKED_AGAIN = f"{_QUARANTINED} Ask for another code to try again."
_NOW = {
    "requested": "The connection was closed on purpose.",
    "lease_ran_out": "The bridge had not heard from its worker and closed the connection.",
}
NOT_SCANNED = "Nobody scanned the code in time."
_LOGGED_OUT = "The phone removed this device. Link the number again; waiting messages are kept."
_UNLINKED = {
    "link_expired": NOT_SCANNED,
    "passkey_required": (
        "WhatsApp asks this account for a passkey, which a linked device of this kind cannot give. "
        "The number cannot be linked for now; do not delete or register the account again."
    ),
    "requested": "Linking was stopped.",
}


def react(
    reason: str,
    *,
    linked: bool,
    failures: int,
    connected_for: timedelta | None,
    detail: dict[str, Any],
    now: datetime,
    jitter: float,
    crashes: int = 0,
) -> Reaction:
    """`failures` counts the failed connections before this one; `connected_for` is how long this one had been up, if it
    was; `detail` is the bridge's, for example until when a ban lasts. `crashes` counts those of the failures that were crashes:
    what else fails in between neither adds to them nor ends their row, since only a connection that lasts shows that it can."""
    if connected_for is not None and connected_for >= STABLE:
        crashes = 0
    crashes += reason == "crashed"
    if crashes >= MOST_CRASHES and reason == "crashed":
        return quarantine(linked=linked, failures=failures + 1, crashes=crashes)
    if reason in _NOW and (linked or reason != "requested"):
        return Reaction("disconnected" if linked else "unlinked", reason, _NOW[reason], now, failures, crashes)
    if not linked:
        return _while_linking(reason, failures=failures, crashes=crashes, now=now, jitter=jitter)
    if reason == "logged_out":
        return Reaction("logged_out", reason, _LOGGED_OUT, None, 0, wipe=True)
    row = _TABLE.get(reason, _OTHER)
    count = 1 if connected_for is not None and connected_for >= row.stable else failures + 1
    why = " ".join(filter(None, [row.detail, _BANS.get(str(detail.get("kind")))]))
    at = _retry_at(reason, row, crashes if reason == "crashed" else count, detail, now, jitter)
    return Reaction(row.state, reason, why, at, count, crashes, alert=row.alert)


def quarantine(*, linked: bool, failures: int, crashes: int = 0) -> Reaction:
    """Until a person restarts it, or asks for another code."""
    if linked:
        return Reaction("blocked", "quarantined", _UNTIL_RESTARTED, None, failures, crashes, alert=True)
    return Reaction("unlinked", "quarantined", _UNTIL_ASKED_AGAIN, None, failures, crashes, end_link=True, alert=True)


def _retry_at(reason: str, row: _Row, count: int, detail: dict[str, Any], now: datetime, jitter: float) -> datetime | None:
    if row.park:
        return None
    until = detail.get("until")
    if reason == "banned_temporarily" and isinstance(until, datetime) and until > now:
        return until + jitter * _MINUTES
    return now + backoff(count, base=row.base, cap=row.cap, jitter=jitter)


def _while_linking(reason: str, *, failures: int, crashes: int, now: datetime, jitter: float) -> Reaction:
    if reason == "link_expired":  # WhatsApp's codes ran out before the person's window: show fresh ones
        return Reaction("unlinked", reason, _UNLINKED[reason], now, 0, crashes)
    if reason in _UNLINKED:
        return Reaction("unlinked", reason, _UNLINKED[reason], None, 0, crashes, end_link=True)
    row = _TABLE.get(reason, _OTHER)
    retry_at = now + backoff(failures + 1, base=row.base, cap=10 * _SECONDS, jitter=jitter)
    return Reaction("unlinked", reason, row.detail, retry_at, failures + 1, crashes, wipe=reason == "logged_out")
