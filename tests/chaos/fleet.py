"""Linked sessions under load, and what has to be true of them afterwards, whatever was done to the parts meanwhile."""

import os
import secrets
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import psycopg

from tests.chaos import audit
from tests.chaos.lines import Line, some_lines
from tests.chaos.till import Till
from tests.chaos.traffic import Traffic
from tests.support.http import HttpError, Json
from tests.support.processes import Process, table
from tests.support.stack import Stack, eventually

BLANK_SESSION = dict.fromkeys(
    ("link_phone", "state_reason", "state_detail", "phone", "lid", "push_name", "qr", "pairing_code"), ""
)
ZERO_SESSION = dict.fromkeys(["restart_wish", "restart_done", "failures", "term", "next_delay_ms"], 0)
BLANK_MESSAGE = dict.fromkeys(["hold_reason", "error_code", "error_detail", "address"], "")
TILL_LINES = 3
LEASE_S = 6.0  # as in production
NEVER = ("pairings", "qr_shown", "bad_signatures", "old_counters")  # a message under a used key is lost, and nobody hears of it
MAKE_KEYS = """
from sessions_app.models import Restaurant
from sessions_app.services import api_keys
for restaurant in {restaurants}:
    print("key:" + api_keys.issue(restaurant=Restaurant.objects.get(pk=restaurant), name="till")[1])
"""


class Fleet:
    def __init__(self, stack: Stack, *, workers: int, sessions: int = 10) -> None:
        self.stack = stack
        self.workers = [f"session-{n + 1}" for n in range(workers)]
        self.lines = some_lines(sessions)
        self.clock_is_set = False  # the database's
        self._apis: Mapping[Line, Json] = {}
        self._rounds = 0

    def open(self) -> "Fleet":
        audit.note_claims(self.stack)
        self.stack.start("simulator", "web", *self.workers)
        each(lambda number: self.stack.network.post("/api/phones", {"number": number}), self._numbers())
        self._write_sessions()
        self._apis = self._make_keys(self.lines[:TILL_LINES])
        self._link()
        return self

    def repair(self) -> None:
        """All workers run, and every session is connected, as before the first round."""
        self.stack.start(*(name for name in self.workers if not self.stack.running(name)))
        self.connected()

    def connected(self, *, timeout: float = 90) -> None:
        eventually(lambda: not self._states(but="connected"), timeout=timeout, every=0.2, what="all sessions to be connected")

    def bridge(self, worker: str) -> Process:
        """The bridge process of a worker."""

        def found() -> list[Process]:
            return [one for one in table() if one.parent == self.stack.pid(worker) and "main.js" in one.command]

        return eventually(found, what=f"the bridge of {worker}")[0]

    def owner(self, line: Line) -> str:
        """The worker that owns the session."""
        query = "SELECT w.name FROM wa_session s JOIN worker w ON w.id = s.owner_id WHERE s.id = %s"
        return str(eventually(lambda: self.stack.sql(query, line.session), what="an owner")[0]["name"]).partition("@")[0]

    def owned(self, worker: str) -> list[Line]:
        """The lines whose sessions the worker owns."""
        query = "SELECT s.id FROM wa_session s JOIN worker w ON w.id = s.owner_id WHERE w.name LIKE %s"
        mine = {row["id"] for row in self.stack.sql(query, f"{worker}@%")}
        return [line for line in self.lines if line.session in mine]

    def shown(self, line: Line, name: str) -> list[str]:
        """What the customer's phone shows of a round, in the order of arrival."""
        messages = self.stack.network.get(f"/api/phones/{line.customer}/shown")["messages"]
        return [message["text"] for message in messages if f"{message['text']} ".startswith(f"{name} ")]

    def kill(self, *workers: str, bridges: bool = False) -> None:
        """kill -9 of all at the same moment."""
        pids = [self.bridge(worker).pid for worker in workers if bridges] + [self.stack.pid(worker) for worker in workers]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for worker in workers:
            self.stack.kill(worker)

    def schedule(self, seconds: float) -> str:
        """A message of each line that is due in a while; beat and the default worker see to it. Answers its text."""
        self._rounds += 1
        text, now = f"scheduled {self._rounds:03}", self._now()
        rows = [self._message(line, text, text, now, Random(0)) for line in self.lines]
        due = {"status": "scheduled", "not_before": now + timedelta(seconds=seconds)}
        self._insert("message", [{**row, **due} for row in rows])
        return text

    def shown_once(self, text: str, *, timeout: float) -> None:
        """To every customer."""
        eventually(lambda: all(self.shown(line, text) for line in self.lines), timeout=timeout, what=f"“{text}” on every phone")
        assert {len(self.shown(line, text)) for line in self.lines} == {1}

    @contextmanager
    def traffic(self, dice: Random, *, messages: int = 30, silence: float = 60) -> Iterator[Traffic]:
        """Queues messages for every session and goes on ordering more; afterwards all have been shown once and in order, every
        order was accepted as soon as it could be, or this fails."""
        self.repair()
        before = self.stack.network.get("/api/stats")
        traffic = self._enqueue(dice, messages)
        with traffic.till.open():
            yield traffic
        traffic.finish(silence=silence)
        self.check(traffic, before)

    def check(self, traffic: Traffic, before: dict[str, Any]) -> None:
        each(lambda line: self._await_shown(line, traffic), self.lines)
        wrong = {line.number: _difference(traffic.expected(line), self.shown(line, traffic.name)) for line in self.lines}
        assert not any(wrong.values()), f"{traffic.name}: { {number: what for number, what in wrong.items() if what} }"
        after = self.stack.network.get("/api/stats")
        happened = {name: after[name] - before[name] for name in NEVER if after[name] != before[name]}
        assert not happened, happened
        self.connected()
        assert not self.stack.ended()
        faults = audit.two_owners(self.stack, lease_s=None if self.clock_is_set else LEASE_S)
        assert not faults, faults
        assert self._deadlocks() == 0, "two transactions waited for each other: PostgreSQL's log says which"

    # --- Helpers

    def _deadlocks(self) -> int:
        """Since PostgreSQL last crashed."""
        count: int = self.stack.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0]["deadlocks"]
        return count

    def _numbers(self) -> list[str]:
        return [number for line in self.lines for number in (line.number, line.customer)]

    def _states(self, *, but: str) -> list[dict[str, Any]]:
        query = """SELECT s.id, s.state, s.state_reason FROM wa_session s LEFT JOIN worker w ON w.id = s.owner_id
                   WHERE s.state <> %s OR w.id IS NULL OR w.expires_at <= now()"""
        return self.stack.sql(query, but)

    def _link(self) -> None:
        self.stack.sql("UPDATE wa_session SET link_until = now() + interval '5 minutes'")
        numbers = {line.session: line.number for line in self.lines}
        scanned: set[str] = set()

        def scan(row: dict[str, Any]) -> None:
            with suppress(HttpError):  # the code has just been replaced, or a busy machine was too slow: the next one
                self.stack.network.post(f"/api/phones/{numbers[row['id']]}/scan", {"qr": row["qr"]})
                scanned.add(row["qr"])

        def all_connected() -> bool:
            each(scan, self.stack.sql("SELECT id, qr FROM wa_session WHERE qr <> '' AND NOT qr = ANY(%s)", list(scanned)))
            return not self._states(but="connected")

        eventually(all_connected, timeout=150, every=0.2, what="all sessions to be linked")

    def _make_keys(self, lines: list[Line]) -> dict[Line, Json]:
        """Each as the ordering system of the line's restaurant."""
        said = self.stack.manage("shell", "-c", MAKE_KEYS.format(restaurants=[str(line.restaurant) for line in lines]))
        keys = [text.removeprefix("key:").strip() for text in said.splitlines() if text.startswith("key:")]
        return {line: self.stack.api.with_key(key) for line, key in zip(lines, keys, strict=True)}

    def _write_sessions(self) -> None:
        now = self._now()
        shop = {"time_zone": "UTC", "default_region": "DE", "resend_uncertain": True, "is_active": True}
        dates = {"created_at": now, "updated_at": now}
        wishes = {"name": "front", "desired": "online", "state": "unlinked", **BLANK_SESSION, **ZERO_SESSION, **dates}
        self._insert("restaurant", [{"id": line.restaurant, "name": line.number, **shop, **dates} for line in self.lines])
        self._insert("wa_session", [{"id": one.session, "restaurant_id": one.restaurant, **wishes} for one in self.lines])

    def _enqueue(self, dice: Random, messages: int) -> Traffic:
        """All in one transaction, so that nothing is claimed before the last and most urgent one is there."""
        self._rounds += 1
        name, now = f"round {self._rounds:03}", self._now()
        rows = [self._message(line, name, f"{name} {n:03}", now, dice) for n in range(messages) for line in self.lines]
        self._insert("message", rows)
        queued = {}
        for line in self.lines:
            mine = sorted((row for row in rows if row["session_id"] == line.session), key=lambda row: int(row["priority"]))
            queued[line] = [row["body"] for row in mine]
        return Traffic(self.stack, name, queued, Till(name, self._apis))

    def _message(self, line: Line, reference: str, text: str, now: datetime, dice: Random) -> dict[str, Any]:
        whom = {"restaurant_id": line.restaurant, "session_id": line.session, "to_phone": line.customer}
        state = {"status": "queued", "status_at": now, "not_before": now, "created_at": now, "attempts": 0}
        what = {
            "id": uuid4(),
            "body": text,
            "reference": reference,
            "wa_id": "3EB0" + secrets.token_hex(9).upper(),
            "priority": dice.choice([0, 1, 2, 2, 3]),
        }
        return {**whom, **state, **what, **BLANK_MESSAGE}

    def _now(self) -> datetime:
        """By the database's clock, as the product does it."""
        now: datetime = self.stack.sql("SELECT clock_timestamp() AS now")[0]["now"]
        return now

    def _insert(self, table_name: str, rows: list[dict[str, Any]]) -> None:
        names, places = ", ".join(rows[0]), ", ".join(["%s"] * len(rows[0]))
        with psycopg.connect(self.stack.database, connect_timeout=5) as connection:
            query = f"INSERT INTO {table_name} ({names}) VALUES ({places})".encode()
            connection.cursor().executemany(query, [list(row.values()) for row in rows])

    def _await_shown(self, line: Line, traffic: Traffic) -> None:
        """What the server has taken may still be on its way to the phone."""
        expected = traffic.expected(line)
        eventually(
            lambda: len(self.shown(line, traffic.name)) >= len(expected),
            timeout=20,
            what=f"{line.customer} to see all: {_difference(expected, self.shown(line, traffic.name))}",
        )


def each(act: Callable[[Any], object], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, items))


def _difference(expected: list[str], shown: list[str]) -> str:
    """Empty when every message was shown once and in order."""
    lost = sorted(set(expected) - set(shown))
    twice = sorted({text for text in shown if shown.count(text) > 1})
    first = next(
        ((place, ours, theirs) for place, (ours, theirs) in enumerate(zip(expected, shown, strict=False)) if ours != theirs), None
    )
    return f"lost {lost}, twice {twice}, first difference {first}" if lost or twice or first else ""
