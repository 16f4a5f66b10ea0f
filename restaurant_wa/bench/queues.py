"""Thousands of linked sessions and millions of messages, by bulk inserts: a large installation without the years."""

from django.utils import timezone

from restaurant_wa.bench.installation import Installation
from restaurant_wa.local.console import Problem
from sessions_app.models import Restaurant, Session

CHUNK = 200_000  # rows of one statement
SAY_EVERY = 1_000_000

# Every customer's number is `prefix` and five digits; the n-th message of a session goes to number `base + n % spread`.
_MESSAGE = """
    INSERT INTO message (id, restaurant_id, session_id, to_phone, body, priority, reference, created_at, not_before, status,
                         status_at, hold_reason, error_code, error_detail, wa_id, address, attempts{more})
    SELECT uuidv7(), s.restaurant_id, s.id, %s || lpad((%s + n %% %s)::text, 5, '0'), 'order ' || n || ' of session ' || s.name,
           2, '', {at}, {at}, '{status}',
           {at}, '', '', '', '3EB0' || upper(substr(md5(gen_random_uuid()::text), 1, 18)), '', {attempts}{values}
    FROM {rows}"""
_QUEUED = """
    WITH made AS ({message} RETURNING id, created_at)
    INSERT INTO message_event (message_id, at, status, detail) SELECT id, created_at, 'queued', '{{}}' FROM made"""
_OF_EACH = (
    "generate_series(%s::int, %s::int) n CROSS JOIN wa_session s WHERE s.name::int BETWEEN %s AND %s ORDER BY n, s.name::int"
)
QUEUE = _QUEUED.format(
    message=_MESSAGE.format(more="", at="now()", status="queued", attempts=0, values="", rows=_OF_EACH),
)
FINISHED = _MESSAGE.format(
    more=", sending_at, delay_ms, sent_at, delivered_at, read_at",
    at="now() - interval '1 day'",
    status="read",
    attempts=1,
    values=", now(), 0, now(), now(), now()",
    rows="generate_series(%s::int, %s::int) n JOIN wa_session s ON s.name::int = n %% %s",
)
CONTACTS = """
    INSERT INTO contact (id, restaurant_id, session_id, phone, lid, name, created_at)
    SELECT uuidv7(), s.restaurant_id, s.id, %s || lpad(n::text, 5, '0'), '', '', now()
    FROM generate_series(0, %s::int) n CROSS JOIN wa_session s"""


def make_sessions(count: int) -> None:
    """Named 0, 1, …, of a restaurant each, and linked, as they were left by a worker that has stopped."""
    now = timezone.now()
    restaurants = [Restaurant(name=f"Restaurant {number}", default_region="DE") for number in range(count)]
    Restaurant.objects.bulk_create(restaurants, batch_size=1_000)
    made = (
        Session(restaurant=one, name=str(number), linked_at=now, phone=f"+49171392{number:05d}", state="disconnected")
        for number, one in enumerate(restaurants)
    )
    Session.objects.bulk_create(made, batch_size=1_000)


def queue(house: Installation, *, sessions: range, numbers: range, prefix: str, base: int = 0, spread: int) -> None:
    """One message for each of `numbers` in each of the `sessions`, in turns, so that none is ahead of the others."""
    at_once = max(1, CHUNK // len(sessions))
    for first in numbers[::at_once]:
        last = min(first + at_once, numbers.stop) - 1
        house.sql(QUEUE, prefix, base, spread, first, last, sessions.start, sessions.stop - 1)


def finished(house: Installation, rows: int, *, sessions: int, prefix: str, spread: int) -> None:
    """That many messages that were read yesterday, evenly over all sessions."""
    for first in range(0, rows, CHUNK):
        last = min(first + CHUNK, rows) - 1
        house.sql(FINISHED, prefix, 0, spread, first, last, sessions)
        if (last + 1) % SAY_EVERY == 0:
            house.say(f"{last + 1} of {rows}")


def contacts(house: Installation, each: int, *, prefix: str) -> None:
    """That many known customers of each session."""
    house.sql(CONTACTS, prefix, each - 1)


def silent(house: Installation) -> int:
    """Sessions that have sent nothing yet."""
    return int(house.sql("SELECT count(*) - count(last_sent_at) AS n FROM wa_session")[0]["n"])


def require_full(house: Installation) -> None:
    """Raises Problem when a session had nothing to send any more."""
    waiting = "SELECT FROM message m WHERE m.session_id = s.id AND m.status = 'queued'"
    if dry := int(house.sql(f"SELECT count(*) AS n FROM wa_session s WHERE NOT EXISTS ({waiting})")[0]["n"]):
        raise Problem(f"{dry} sessions have run out of messages: the figures would mean nothing.")
