"""What an answer of the bridge to a send means for the message, and for its session's queue."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from sessions_app.policy.backoff import backoff

Kind = Literal["acked", "rejected", "not_sent", "unknown"]
MAX_ATTEMPTS = 5
MAX_RESENDS = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` is the server's error code for `rejected`, and the bridge's word for `not_sent` and `unknown`; `at` is when
    the server's ack came."""

    kind: Kind
    reason: str = ""
    address: str = ""
    at: datetime | None = None


class Next(StrEnum):
    SENT = "sent"
    QUEUED = "queued"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`retry_at` holds this message alone; `session_until` holds the session, so that nothing overtakes it."""

    next: Next
    on_wire: bool  # it counts for the pace
    code: str = ""
    detail: str = ""
    retry_at: datetime | None = None
    session_until: datetime | None = None
    reconnect: bool = False  # the socket is suspected to be dead


@dataclass(frozen=True, slots=True)
class _Hold:
    """How to wait for one reason: where the wait applies, how long it is, and after how many attempts it gives up."""

    detail: str
    base: timedelta
    cap: timedelta
    session: bool = True
    give_up_after: int | None = None


_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_NOT_SENT = {
    "not_connected": _Hold("The connection to WhatsApp is down.", _SECOND, 5 * _SECOND),
    "bridge_unavailable": _Hold("The bridge does not answer.", _SECOND, 5 * _SECOND),
    "store_unavailable": _Hold("The keys could not be read.", _SECOND, 30 * _SECOND),
    "rate_limited": _Hold("WhatsApp asked for fewer lookups.", 10 * _MINUTE, 20 * _MINUTE),
    "lookup_failed": _Hold("WhatsApp did not answer the lookup.", 2 * _SECOND, 5 * _MINUTE, give_up_after=10),
    "no_devices": _Hold("WhatsApp named no device of the customer.", 30 * _SECOND, 10 * _MINUTE, False, MAX_ATTEMPTS),
    "encryption_failed": _Hold("The message could not be encrypted.", 30 * _SECOND, 10 * _MINUTE, False, MAX_ATTEMPTS),
}
_NOT_SENT_OTHER = _Hold("The bridge did not send it.", 10 * _SECOND, 10 * _MINUTE, False, MAX_ATTEMPTS)
_PERMANENT = {
    "not_on_whatsapp": "This number is not on WhatsApp.",
    "invalid_request": "The bridge refused the message as malformed.",
}
# A rejected message never reached the phone. One more try for these; every other code is final.
_REJECTED = {
    "479": _Hold("WhatsApp refused it: stale encryption session.", 30 * _SECOND, 30 * _SECOND, False, 2),
    "400": _Hold("WhatsApp refused it: address.", 3 * _MINUTE, 3 * _MINUTE, False, 2),
    "420": _Hold("WhatsApp refused it for now.", 3 * _MINUTE, 3 * _MINUTE, False, 2),
    "475": _Hold("WhatsApp refused it for now.", 3 * _MINUTE, 3 * _MINUTE, False, 2),
    "429": _Hold("WhatsApp asked for a slower pace.", 10 * _MINUTE, 20 * _MINUTE, True, MAX_ATTEMPTS),
}
_UNCONFIRMED = {
    "ack_timeout": "WhatsApp did not confirm it in time.",
    "connection_lost": "The connection broke before WhatsApp confirmed it.",
}
_REJECTED_FOR_GOOD = {
    "463": "WhatsApp does not let this number write to people who have not written to it.",
}


def sentences() -> dict[str, str]:
    """The codes that a message may wait with here, and the plain words for each."""
    waits = {**_NOT_SENT, **{f"wa_{code}": hold for code, hold in _REJECTED.items()}}
    return {"not_sent": _NOT_SENT_OTHER.detail, **{code: hold.detail for code, hold in waits.items()}, **_UNCONFIRMED}


def judge(outcome: Outcome, *, attempt: int, resend: bool, now: datetime, jitter: float) -> Verdict:
    """`attempt` counts hand-overs, this one included. `resend` says that an earlier one had no clear outcome: then "not
    sent" is said of this attempt only, and the message stays uncertain rather than queued."""
    if outcome.kind == "acked":
        return Verdict(Next.SENT, on_wire=True)
    if outcome.kind == "rejected":
        return _rejected(outcome.reason, attempt=attempt, now=now, jitter=jitter)
    if outcome.kind == "unknown":
        return _unknown(outcome.reason, attempt=attempt, resend=resend, now=now, jitter=jitter)
    verdict = _not_sent(outcome.reason, attempt=attempt, now=now, jitter=jitter)
    return _still_uncertain(verdict, attempt=attempt) if resend else verdict


def _rejected(code: str, *, attempt: int, now: datetime, jitter: float) -> Verdict:
    hold = _REJECTED.get(code)
    if hold is None:
        detail = _REJECTED_FOR_GOOD.get(code, "WhatsApp refused the message.")
        return Verdict(Next.FAILED, on_wire=True, code=f"wa_{code}", detail=detail)
    return replace(_wait(f"wa_{code}", hold, attempt=attempt, now=now, jitter=jitter), on_wire=True)


def _not_sent(reason: str, *, attempt: int, now: datetime, jitter: float) -> Verdict:
    if reason == "expired":
        return Verdict(Next.EXPIRED, on_wire=False, code="expired", detail="It expired before it could be sent.")
    if reason in _PERMANENT:
        return Verdict(Next.FAILED, on_wire=False, code=reason, detail=_PERMANENT[reason])
    return _wait(reason or "not_sent", _NOT_SENT.get(reason, _NOT_SENT_OTHER), attempt=attempt, now=now, jitter=jitter)


def _wait(code: str, hold: _Hold, *, attempt: int, now: datetime, jitter: float) -> Verdict:
    if hold.give_up_after is not None and attempt >= hold.give_up_after:
        return Verdict(Next.FAILED, on_wire=False, code=code, detail=hold.detail)
    until = now + backoff(attempt, base=hold.base, cap=hold.cap, jitter=jitter)
    verdict = Verdict(Next.QUEUED, on_wire=False, code=code, detail=hold.detail)
    return replace(verdict, session_until=until) if hold.session else replace(verdict, retry_at=until)


def _unknown(reason: str, *, attempt: int, resend: bool, now: datetime, jitter: float) -> Verdict:
    if resend and attempt > MAX_RESENDS:  # attempts that were surely not sent count, too: at least one resend is due
        return _unconfirmed()
    until = now + backoff(attempt, base=_SECOND, cap=5 * _MINUTE, jitter=jitter)
    silent = reason == "ack_timeout"
    detail = _UNCONFIRMED["ack_timeout" if silent else "connection_lost"]
    return Verdict(Next.UNCERTAIN, on_wire=True, code=reason or "unknown", detail=detail, retry_at=until, reconnect=silent)


def _still_uncertain(verdict: Verdict, *, attempt: int) -> Verdict:
    if verdict.next is Next.EXPIRED or (verdict.next is Next.QUEUED and attempt > MAX_RESENDS):
        return _unconfirmed()
    if verdict.next is not Next.QUEUED:
        return verdict
    return replace(verdict, next=Next.UNCERTAIN, retry_at=verdict.retry_at or verdict.session_until)


def _unconfirmed() -> Verdict:
    detail = "WhatsApp never confirmed it; the customer may or may not have it."
    return Verdict(Next.FAILED, on_wire=False, code="unconfirmed", detail=detail)
