"""What a bridge's answer to a send says: of the message, of the session's pace, and of the customer."""

import random
from datetime import datetime

from sessions_app.policy import pacing
from sessions_app.policy.lanes import LANES, Lane
from sessions_app.policy.reasons import Held
from sessions_app.policy.restrictions import parked_until
from sessions_app.policy.retry import Outcome, Verdict, has_gone
from sessions_app.services.claims import Claim
from sessions_app.services.settlements import Settlement
from workers.pacer import Pacer

_COLD = LANES.index(Lane.COLD)


def settle(pacer: Pacer, claim: Claim, outcome: Outcome, verdict: Verdict, now: datetime) -> Settlement:
    """What is to be written. The session's next slot counts from this moment on: `pacer` knows of the send afterwards."""
    jitter, again, session_until = random.random(), has_gone(claim.tries), _session_until(claim, verdict)
    _hold(pacer, claim, verdict)
    if verdict.on_wire:
        pacer.sent(min(claim.lane, _COLD) if again else claim.lane, now, jitter)
    warm, cold = pacer.rules.policy.warm.pace, pacer.rules.policy.cold.pace
    return Settlement(
        message=claim.message,
        session=claim.session,
        term=claim.term,
        status=str(verdict.next),
        at=outcome.at or now,
        lane=claim.lane,
        again=again,
        to_phone=claim.to_phone,
        code=verdict.code,
        detail=verdict.detail,
        address=outcome.address,
        not_before=verdict.retry_at,
        hold_until=verdict.retry_at or verdict.session_until,
        sent_at=now if verdict.on_wire else None,
        next_send_at=pacer.slot(now) if verdict.on_wire or session_until else None,
        delay_ms=pacing.delay_ms(warm, jitter) if verdict.on_wire else 0,
        cold_delay_ms=pacing.delay_ms(cold, jitter) if verdict.on_wire else 0,
        on_whatsapp=_on_whatsapp(outcome),
        parked_until=parked_until(claim.refusals + 1, now) if is_refusal(outcome) else None,
    )


def is_refusal(outcome: Outcome) -> bool:
    """463: the number may not write to strangers."""
    return (outcome.kind, outcome.reason) == ("rejected", "463")


def _session_until(claim: Claim, verdict: Verdict) -> datetime | None:
    return None if verdict.strangers and claim.lane > 0 else verdict.session_until


def _hold(pacer: Pacer, claim: Claim, verdict: Verdict) -> None:
    if until := _session_until(claim, verdict):
        pacer.floor = max(pacer.floor or until, until)
    elif verdict.strangers and claim.lane > 0 and (until := verdict.retry_at or verdict.session_until):
        pacer.strangers = Held(verdict.code, until)


def _on_whatsapp(outcome: Outcome) -> bool | None:
    if outcome.kind == "acked":
        return True
    return False if (outcome.kind, outcome.reason) == ("not_sent", "not_on_whatsapp") else None
