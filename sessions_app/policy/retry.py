"""What an answer of the bridge to a send means for the message, and for its session's queue."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from sessions_app.policy.backoff import backoff

Kind = Literal["acked", "rejected", "not_sent", "unknown"]
Tries = Mapping[str, int]  # how often each code has come already
MAX_ATTEMPTS = 5
MAX_RESENDS = 12
LOOKUP_THROTTLED = "lookup_throttled"
NOT_ON_WHATSAPP = "This number is not on WhatsApp."
EXPIRED = "It expired before it could be sent."
UNCONFIRMED = "WhatsApp never confirmed it; the customer may or may not have it."


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
    """`retry_at` holds this message alone, `session_until` the session, so that nothing overtakes it. With `strangers` a message
    to one holds all others to strangers as long, and nobody else."""

    next: Next
    on_wire: bool  # it counts for the pace
    code: str = ""
    detail: str = ""
    retry_at: datetime | None = None
    session_until: datetime | None = None
    strangers: bool = False
    reconnect: bool = False  # the socket is suspected to be dead


@dataclass(frozen=True, slots=True)
class _Hold:
    """How to wait for one reason: how long, how many of its tries hold the whole session (later ones this message alone),
    with which one it gives up, and whether it is strangers that it is about: regulars are rarely looked up."""

    detail: str
    base: timedelta
    cap: timedelta
    session_tries: int = 0
    give_up_after: int | None = None
    strangers: bool = False


_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_MOST_UNCERTAIN = 5 * _MINUTE  # nothing else of its session goes meanwhile
_ALWAYS = 1_000_000
# What concerns the session never costs a message: it waits until that is over, or until it expires.
_NOT_SENT = {
    "not_connected": _Hold("The connection to WhatsApp is down.", _SECOND, 5 * _SECOND, _ALWAYS),
    "bridge_unavailable": _Hold("The bridge to WhatsApp does not answer.", _SECOND, 5 * _SECOND, _ALWAYS),
    "store_unavailable": _Hold("The stored WhatsApp keys could not be read.", _SECOND, 30 * _SECOND, _ALWAYS),
    "lease_ran_out": _Hold("The worker had lost its lease.", _SECOND, 5 * _SECOND, _ALWAYS),
    "rate_limited": _Hold("WhatsApp asked for fewer lookups.", 10 * _MINUTE, 15 * _MINUTE, _ALWAYS, strangers=True),
    # Over most of a day; a number that is never answered for must not hold up the others.
    "lookup_failed": _Hold("WhatsApp did not answer the lookup.", 2 * _SECOND, 60 * _MINUTE, 5, 30, strangers=True),
    # The bridge's own limit: whoever it knows is not looked up, so it stands in nobody else's way.
    LOOKUP_THROTTLED: _Hold("Unknown numbers are looked up a few at a time.", 10 * _SECOND, _MINUTE, strangers=True),
    "no_devices": _Hold("WhatsApp named no device of the customer.", 30 * _SECOND, 10 * _MINUTE, 0, MAX_ATTEMPTS),
    "encryption_failed": _Hold("The message could not be encrypted.", 30 * _SECOND, 10 * _MINUTE, 0, MAX_ATTEMPTS),
}
_NOT_SENT_OTHER = _Hold("The bridge did not send it.", 10 * _SECOND, 10 * _MINUTE, 0, MAX_ATTEMPTS)
_PERMANENT = {
    "not_on_whatsapp": NOT_ON_WHATSAPP,
    "invalid_request": "The bridge refused the message as malformed.",
}
# A rejected message never reached the phone. One more try for these, some for what is the server's own trouble; every other
# code is final.
_REJECTED = {
    "479": _Hold("WhatsApp refused it: stale encryption session.", 30 * _SECOND, 30 * _SECOND, 0, 2),
    "400": _Hold("WhatsApp refused it: address.", 3 * _MINUTE, 3 * _MINUTE, 0, 2),
    "420": _Hold("WhatsApp refused it for now.", 3 * _MINUTE, 3 * _MINUTE, 0, 2),
    "421": _Hold("WhatsApp refused it for now.", 3 * _MINUTE, 3 * _MINUTE, 0, 2),
    "475": _Hold("WhatsApp refused it for now.", 3 * _MINUTE, 3 * _MINUTE, 0, 2),
    # It concerns the session and costs no message; but what it is said of again and again must not hold up the others.
    "429": _Hold("WhatsApp asked for a slower pace.", 10 * _MINUTE, 20 * _MINUTE, 5),
    # Whatever comes next would fare no better; but it may be this message that the server stumbles over.
    "500": _Hold("WhatsApp could not take it just then.", _MINUTE, 10 * _MINUTE, 2, MAX_ATTEMPTS),
    "503": _Hold("WhatsApp could not take it just then.", _MINUTE, 10 * _MINUTE, 2, MAX_ATTEMPTS),
}
_UNCLEAR = ("ack_timeout", "connection_lost", "unknown")
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


def has_gone(tries: Tries) -> bool:
    """Whether an earlier hand-over of the message went over the wire, and was counted then."""
    return any(code in _UNCLEAR or code.startswith("wa_") for code in tries)


def judge(outcome: Outcome, *, tries: Tries, resend: bool, now: datetime, jitter: float) -> Verdict:
    """`tries` counts what came of the earlier hand-overs of this message, by the code of the verdict: a reason counts its own
    kind alone. `resend` says that an earlier one had no clear outcome: then "not sent" is said of this attempt only, and the
    message stays uncertain rather than queued."""
    if outcome.kind == "acked":
        return Verdict(Next.SENT, on_wire=True)
    if outcome.kind == "rejected":
        return _rejected(outcome.reason, tries, now, jitter)
    if outcome.kind == "unknown":
        return _unknown(outcome.reason, tries, resend, now, jitter)
    verdict = _not_sent(outcome.reason, tries, now, jitter)
    return _still_uncertain(verdict, now) if resend else verdict


def _rejected(code: str, tries: Tries, now: datetime, jitter: float) -> Verdict:
    hold = _REJECTED.get(code)
    if hold is None:
        detail = _REJECTED_FOR_GOOD.get(code, "WhatsApp refused the message.")
        return Verdict(Next.FAILED, on_wire=True, code=f"wa_{code}", detail=detail)
    return replace(_wait(f"wa_{code}", hold, tries, now, jitter), on_wire=True)


def _not_sent(reason: str, tries: Tries, now: datetime, jitter: float) -> Verdict:
    if reason == "expired":
        return Verdict(Next.EXPIRED, on_wire=False, code="expired", detail=EXPIRED)
    if reason in _PERMANENT:
        return Verdict(Next.FAILED, on_wire=False, code=reason, detail=_PERMANENT[reason])
    return _wait(reason or "not_sent", _NOT_SENT.get(reason, _NOT_SENT_OTHER), tries, now, jitter)


def _wait(code: str, hold: _Hold, tries: Tries, now: datetime, jitter: float) -> Verdict:
    times = tries.get(code, 0) + 1
    if hold.give_up_after is not None and times >= hold.give_up_after:
        return Verdict(Next.FAILED, on_wire=False, code=code, detail=hold.detail)
    until = now + backoff(times, base=hold.base, cap=hold.cap, jitter=jitter)
    verdict = Verdict(Next.QUEUED, on_wire=False, code=code, detail=hold.detail)
    if times <= hold.session_tries:
        return replace(verdict, session_until=until, strangers=hold.strangers)
    return replace(verdict, retry_at=until, strangers=hold.strangers and not hold.session_tries)


def _unknown(reason: str, tries: Tries, resend: bool, now: datetime, jitter: float) -> Verdict:
    times = sum(tries.get(code, 0) for code in _UNCLEAR) + 1
    if resend and times > MAX_RESENDS:
        return _unconfirmed()
    until = now + backoff(times, base=_SECOND, cap=_MOST_UNCERTAIN, jitter=jitter)
    silent = reason == "ack_timeout"
    detail = _UNCONFIRMED["ack_timeout" if silent else "connection_lost"]
    code = reason if reason in _UNCLEAR else "unknown"
    return Verdict(Next.UNCERTAIN, on_wire=True, code=code, detail=detail, retry_at=until, reconnect=silent)


def _still_uncertain(verdict: Verdict, now: datetime) -> Verdict:
    until = verdict.retry_at or verdict.session_until
    if until is None:
        return _unconfirmed()
    return replace(verdict, next=Next.UNCERTAIN, retry_at=min(until, now + _MOST_UNCERTAIN))


def _unconfirmed() -> Verdict:
    return Verdict(Next.FAILED, on_wire=False, code="unconfirmed", detail=UNCONFIRMED)
