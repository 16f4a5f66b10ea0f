"""What WhatsApp has said of a number: kept with its session.

Web tells what bridges report (time-lock, new-chat cap), the owner what its connection and its sends were answered (ban, refusal,
login). The row is locked while one of them writes.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction

from sessions_app.models import Session
from sessions_app.policy.signals import Ban, CapStatus, Event, Known, NewChatCap, TimeLock
from sessions_app.policy.standing import Standing, folded


@transaction.atomic
def note(*, facts: Sequence[tuple[UUID, Event]]) -> set[UUID]:
    """Folds them in; answers the sessions of which something has changed."""
    of_session: dict[UUID, list[Event]] = defaultdict(list)
    for session, event in facts:
        of_session[session].append(event)
    locked = Session.objects.select_for_update(of=("self",), no_key=True)
    rows = locked.select_related("restaurant").filter(pk__in=list(of_session))
    changed = [row for row in rows.order_by("pk") if _fold(row, of_session[row.pk])]
    Session.objects.bulk_update(changed, ["standing"])
    return {row.pk for row in changed}


def _fold(row: Session, events: Sequence[Event]) -> bool:
    zone = ZoneInfo(row.restaurant.time_zone)
    before = standing = read(row.standing)
    for event in events:
        standing = folded(standing, event, zone)
    row.standing = write(standing)
    return standing != before


# --- As JSON


def write(standing: Standing) -> dict[str, Any]:
    known = standing.known
    lock, cap, ban = known.time_lock, known.cap, known.ban
    parts: dict[str, Any] = {
        "time_lock": lock and {"at": _iso(lock.at), "active": lock.active, "until": _iso(lock.until), "kind": lock.kind},
        "cap": cap
        and {
            "at": _iso(cap.at),
            "status": str(cap.status),
            "used": cap.used,
            "total": cap.total,
            "cycle_ends_at": _iso(cap.cycle_ends_at),
        },
        "ban": ban and {"at": _iso(ban.at), "until": _iso(ban.until)},
        "refused": [_iso(at) for at in known.refused],
        "connected_at": _iso(known.connected_at),
        "signal_days": [day.isoformat() for day in sorted(standing.signal_days)],
        "restarted_on": standing.restarted_on and standing.restarted_on.isoformat(),
    }
    return {name: part for name, part in parts.items() if part}


@lru_cache(maxsize=10_000)
def parse(text: str) -> Standing:
    return read(json.loads(text))


def read(raw: Mapping[str, Any]) -> Standing:
    lock, cap, ban = raw.get("time_lock"), raw.get("cap"), raw.get("ban")
    known = Known(
        time_lock=TimeLock(_at(lock["at"]), lock["active"], _when(lock["until"]), lock["kind"]) if lock else None,
        cap=_cap(cap) if cap else None,
        ban=Ban(_at(ban["at"]), _when(ban["until"])) if ban else None,
        refused=tuple(_at(at) for at in raw.get("refused", ())),
        connected_at=_when(raw.get("connected_at")),
    )
    restarted = raw.get("restarted_on")
    days = frozenset(date.fromisoformat(day) for day in raw.get("signal_days", ()))
    return Standing(known, days, date.fromisoformat(restarted) if restarted else None)


def _cap(raw: Mapping[str, Any]) -> NewChatCap:
    return NewChatCap(_at(raw["at"]), CapStatus(raw["status"]), raw["used"], raw["total"], _when(raw["cycle_ends_at"]))


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _when(text: str | None) -> datetime | None:
    return _at(text) if text else None
