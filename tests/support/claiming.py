"""One session's claims and what came of them, and its customers, for tests of what owners do."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from sessions_app.models import Contact, Message, Session
from sessions_app.services import sending, sessions
from sessions_app.services.claims import Claim, Due
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.settlements import Settlement

PHONE = "+4915112345678"
WARM, COLD, NEW = Message.Lane.WARM, Message.Lane.COLD, Message.Lane.NEW
HOUR = timedelta(hours=1)


def claim(me: Registration, mine: Claimed, **due: Any) -> Claim | None:
    """The session's next message; `due` as in `Due`."""
    got = sending.tick(worker=me.worker, settlements=[], due=[Due(mine.session, mine.term, **due)])
    return got[0] if got else None


def settlement(claim: Claim, status: str = "sent", **more: Any) -> Settlement:
    values = {"at": timezone.now(), "to_phone": claim.to_phone, "lane": claim.lane, **more}
    return Settlement(message=claim.message, session=claim.session, term=claim.term, status=status, **values)


def settle(me: Registration, claim: Claim, status: str = "sent", **more: Any) -> Settlement:
    one = settlement(claim, status, **more)
    sending.tick(worker=me.worker, settlements=[one], due=[])
    return one


def acked(me: Registration, claim: Claim, at: datetime | None = None, **more: Any) -> Settlement:
    """It went over the wire at `at`, and WhatsApp's server has it."""
    at = at or timezone.now()
    return settle(me, claim, **{"at": at, "sent_at": at, "on_whatsapp": True, **more})


def sent(me: Registration, mine: Claimed, **due: Any) -> str:
    """Claims the next message and settles it; its text, or what became of it instead."""
    got = claim(me, mine, **due)
    if got is None:
        return "nothing"
    if got.status != "sending":
        return got.status
    acked(me, got)
    return got.body


def contact(session: Session, phone: str = PHONE, **more: Any) -> Contact:
    return Contact.objects.create(restaurant_id=session.restaurant_id, session=session, phone=phone, **more)


def numbers(count: int) -> list[str]:
    return [f"+49151{n:08}" for n in range(count)]


def fresh(message: Message) -> Message:
    message.refresh_from_db()
    return message


def wait_is_over(message: Message) -> None:
    """As if its hold had ended by now."""
    past = timezone.now() - timedelta(seconds=1)
    Message.objects.filter(pk=message.pk).update(not_before=past, hold_until=past)


def pile_up(session: Session, count: int, **columns: Any) -> None:
    """Very many messages of one session, made by the database; `columns`: SQL for each that is to differ, `n` counts them."""
    standard = {
        "id": "gen_random_uuid()", "restaurant_id": "r", "session_id": "s", "to_phone": "'+49151' || n", "body": "'hello'",
        "priority": "2", "lane": "0", "exempt": "false", "reference": "''", "created_at": "now()", "not_before": "now()",
        "status": "'queued'", "status_at": "now()", "hold_reason": "''", "error_code": "''", "error_detail": "''",
        "wa_id": "'3EB0' || n", "address": "''", "attempts": "0",
    }  # fmt: skip
    given = {**standard, **columns}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO message ({', '.join(given)}) SELECT {', '.join(given.values())}"
            " FROM generate_series(1, %s) AS n, (SELECT %s::uuid AS s, %s::uuid AS r) AS whose",
            [count, session.pk, session.restaurant_id],
        )


def know_many(session: Session, count: int) -> None:
    """Very many customers of one session; and the planner knows how much of everything there is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO contact (id, restaurant_id, session_id, phone, lid, name, created_at)"
            " SELECT gen_random_uuid(), r, s, '+49151' || n, n || '@lid', '', now()"
            " FROM generate_series(1, %s) AS n, (SELECT %s::uuid AS s, %s::uuid AS r) AS whose",
            [count, session.pk, session.restaurant_id],
        )
        cursor.execute("ANALYZE")


# --- What a statement reads

Node = dict[str, Any]


def explained(act: Callable[[], object], table: str = "message") -> list[Node]:
    """Every node of the plan of the last statement of `act` that names the table, as it really ran: planned without its values,
    as the engine has it (`workers.database`). Nothing of it stays."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def keep(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with undone(), connection.execute_wrapper(keep):
        act()
    statement, parameters = next(one for one in reversed(seen) if table in one[0])
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%")
    with undone(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE explained AS {numbered}")
        values = ", ".join(f"%({name})s" for name in names)
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE explained{f'({values})' if values else ''}", parameters)
        answer = cursor.fetchone()[0]
        cursor.execute("DEALLOCATE explained")
    plan = json.loads(answer) if isinstance(answer, str) else answer
    return list(nodes_of(plan[0]["Plan"]))


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def nodes_of(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes_of(child)


def rows_read(nodes: list[Node], table: str) -> float:
    """By the scans of a table, whatever they threw away."""
    scans = [node for node in nodes if node.get("Relation Name") == table and "Scan" in node["Node Type"]]
    thrown_away = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")
    return float(
        sum((scan["Actual Rows"] + sum(scan.get(name, 0) for name in thrown_away)) * scan["Actual Loops"] for scan in scans)
    )


def crowd(session: Session) -> None:
    """100,000 messages wait, as many are finished, there and elsewhere, and the customers are many."""
    elsewhere = sessions.create(restaurant=session.restaurant, name="elsewhere")
    pile_up(session, 100_000, lane="mod(n, 3)", priority="2 + mod(n, 2)")
    for owner, first in ((session, 1_000_000), (elsewhere, 2_000_000)):
        pile_up(owner, 50_000, status="'read'", sent_at="now()", lane="mod(n, 3)", wa_id=f"'3EB0' || (n + {first})")
    know_many(session, 20_000)
