"""Client of the bridge's HTTP contract (`node_bridge/README.md`). Every call has a timeout."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from sessions_app.policy.retry import Outcome
from sessions_app.services.claims import Claim
from workers.batches import Batches
from workers.clocks import steady

CALL_TIMEOUT_S = 10.0
LEASE_TIMEOUT_S = 3.0
LOG_OUT_TIMEOUT_S = 20.0  # the bridge itself tries for 10
SIGNAL_SILENCE_S = 15.0  # three pings missed
MAX_SIGNAL_BYTES = 1 << 20
MOST_TYPING_MS = 15_000  # the bridge takes no more
_NO_ANSWER = (aiohttp.ClientError, OSError, ValueError)  # a timeout is an OSError, what is no JSON a ValueError


class BridgeError(Exception):
    """The bridge refused a call; `code` is the contract's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class BridgeAway(BridgeError):
    """The bridge does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__("bridge_unavailable", message)


@dataclass(frozen=True, slots=True)
class Code:
    """A QR text or a pairing code, and how long it can be used."""

    text: str
    generated_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    session: UUID
    term: int
    state: str  # linking, connecting, connected, closed
    phone: str = ""
    lid: str = ""
    name: str = ""
    qr: Code | None = None
    pairing_code: Code | None = None
    close_reason: str = ""
    close_detail: dict[str, Any] = field(default_factory=dict)


def _text(value: Any) -> str:
    """What PostgreSQL takes: no NUL, no half of a surrogate pair. People choose their own names."""
    return str(value or "").replace("\0", "").encode("utf-8", "replace").decode()


def parse_status(raw: dict[str, Any]) -> Status:
    close = raw.get("close") or {}
    return Status(
        session=UUID(raw["id"]),
        term=int(raw["term"]),
        state=raw["state"],
        phone=_text(raw.get("phone")),
        lid=_text(raw.get("lid")),
        name=_text(raw.get("name")),
        qr=_code(raw.get("qr"), "text"),
        pairing_code=_code(raw.get("pairing_code"), "code"),
        close_reason=_text(close.get("reason")),
        close_detail=_times(close.get("detail")),
    )


def _code(raw: dict[str, Any] | None, key: str) -> Code | None:
    return Code(_text(raw[key]), _time(raw.get("generated_at")), _time(raw.get("expires_at"))) if raw else None


def _time(raw: str | None) -> datetime | None:
    return datetime.fromisoformat(raw) if raw else None


def _times(detail: Any) -> dict[str, Any]:
    if not isinstance(detail, dict):
        return {"message": detail} if detail else {}
    return {**detail, "until": _time(detail["until"])} if detail.get("until") else detail


class Bridge:
    """One worker's bridge. `base_url` is set anew whenever the process has (re)started, and empty while there is none. Nothing is
    opened before it has been `leased`."""

    def __init__(self, *, secret: str, ack_timeout_s: float) -> None:
        self.base_url = ""
        self.leased = False
        self.answered_at = 0.0  # steady clock: when anything was last heard of it
        self._secret = secret
        self._ack_timeout_s = ack_timeout_s
        self._http: aiohttp.ClientSession | None = None
        self._batches = Batches(self._post)

    async def __aenter__(self) -> "Bridge":
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        headers = {"Authorization": f"Bearer {self._secret}"}
        self._http = aiohttp.ClientSession(
            connector=connector, headers=headers, trust_env=False, json_serialize_bytes=orjson.dumps
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http:
            await self._http.close()

    @property
    def may_open(self) -> bool:
        return self.leased and bool(self.base_url)

    async def lease(self, good_for_s: float) -> None:
        """It may act for so long, and closes everything by itself when this is not said again in time; 0 ends it at once."""
        body = {"good_for_ms": int(good_for_s * 1000)}
        await self._call("PUT", "/lease", json=body, timeout_s=LEASE_TIMEOUT_S)

    async def open(self, session: UUID, *, owner: str, term: int, link: dict[str, str] | None = None) -> Status:
        body = {"owner": owner, "term": term, **({"link": link} if link else {})}
        return parse_status(await self._call("PUT", f"/session/{session}", json=body))

    async def close(self, session: UUID, *, term: int, log_out: bool = False) -> None:
        query = {"term": str(term), **({"logout": "true"} if log_out else {})}
        timeout = LOG_OUT_TIMEOUT_S if log_out else CALL_TIMEOUT_S
        await self._call("DELETE", f"/session/{session}", params=query, timeout_s=timeout)

    async def sessions(self) -> list[Status]:
        answer = await self._call("GET", "/sessions")
        return [parse_status(one) for one in answer["sessions"]]

    async def signals(self) -> AsyncIterator[Status]:
        """Statuses, first of all open sessions, then of every change. Ends with BridgeAway when it breaks or falls silent."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_TIMEOUT_S, sock_read=SIGNAL_SILENCE_S)
        try:
            async with self._client().get(f"{self._base()}/signals", timeout=timeout, read_bufsize=MAX_SIGNAL_BYTES) as answer:
                await _raise_for_error(answer)
                async for line in answer.content:
                    self.answered_at = steady()
                    raw = orjson.loads(line)
                    if "id" in raw:
                        yield parse_status(raw)
        except _NO_ANSWER as error:
            raise BridgeAway(f"signals: {type(error).__name__}") from error
        raise BridgeAway("signals: the stream ended")

    async def send(self, claim: Claim, *, now: datetime, typing_ms: int) -> Outcome:
        """Never raises: what cannot be known is `unknown`, what surely did not reach the bridge is `not_sent`. `now` is by the
        clock that the message's own times are by."""
        timeout = self._ack_timeout_s + typing_ms / 1000 + CALL_TIMEOUT_S
        try:
            answer = await self._batches.send(_send_body(claim, now, typing_ms), timeout_s=timeout)
            _raise_for_refusal(answer)
        except BridgeError as error:
            return _outcome_of_error(error)
        except TimeoutError:  # longer than the bridge itself waits: it is stuck, and so is what comes after it on this connection
            return Outcome("unknown", "ack_timeout")
        except _NO_ANSWER:
            return Outcome("unknown", "connection_lost")
        return _outcome(answer)

    async def _post(self, sends: list[dict[str, Any]], timeout_s: float) -> AsyncIterator[dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CALL_TIMEOUT_S)
        try:
            async with self._client().post(f"{self._base()}/messages", json={"sends": sends}, timeout=timeout) as answer:
                await _raise_for_error(answer)
                async for line in answer.content:
                    self.answered_at = steady()
                    yield orjson.loads(line)
        except aiohttp.ClientConnectorError as error:
            raise BridgeAway(type(error).__name__) from error

    async def ask_restrictions(self, session: UUID, *, term: int) -> None:
        """WhatsApp is asked what it forbids the number; its answers come to the web side, as events."""
        await self._call("POST", f"/session/{session}/restrictions", json={"term": term})

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Raises BridgeError, and nothing else."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CALL_TIMEOUT_S)
        try:
            async with self._client().request(method, self._base() + path, json=json, params=params, timeout=timeout) as answer:
                await _raise_for_error(answer)
                self.answered_at = steady()
                taken: dict[str, Any] = await answer.json()
                return taken
        except _NO_ANSWER as error:
            raise BridgeAway(type(error).__name__) from error

    def _client(self) -> aiohttp.ClientSession:
        assert self._http is not None, "the client is used outside of its context"
        return self._http

    def _base(self) -> str:
        if not self.base_url:
            raise BridgeAway("it is not running")
        return self.base_url


def _send_body(claim: Claim, now: datetime, typing_ms: int) -> dict[str, Any]:
    to = {"phone": claim.to_phone, "lid": claim.lid, "address": claim.address}
    return {
        "session": str(claim.session),
        "term": claim.term,
        "id": claim.wa_id,
        "to": {key: value for key, value in to.items() if value},
        "content": {"type": "text", "text": claim.body},
        "typing_ms": min(typing_ms, MOST_TYPING_MS),
        "resend": claim.resend,
        "attempt": claim.attempt,
        **({"valid_for_ms": _left_ms(claim.expires_at, now)} if claim.expires_at else {}),
    }


def _left_ms(until: datetime, now: datetime) -> int:
    """A span, not a time: the bridge counts it on a clock that nobody sets, while its own may be off."""
    return max(0, (until - now) // timedelta(milliseconds=1))


def _outcome(answer: dict[str, Any]) -> Outcome:
    address = _text(answer.get("address"))
    match answer.get("outcome"):
        case "acked":
            return Outcome("acked", address=address, at=_time(answer.get("at")))
        case "rejected":
            return Outcome("rejected", _text(answer.get("code")), address)
        case "not_sent":
            return Outcome("not_sent", _text(answer.get("reason")))
        case _:
            return Outcome("unknown", _text(answer.get("reason")), address)


# `internal` is left out on purpose: an unexpected error may have come after the socket write.
_SURELY_NOT_SENT = {
    "bridge_unavailable",
    "unauthorized",
    "invalid_request",
    "not_found",
    "stale_term",
    "not_linked",
    "not_connected",
    "store_unavailable",
}
_AS_NOT_CONNECTED = {"not_found", "not_linked", "stale_term"}


def _outcome_of_error(error: BridgeError) -> Outcome:
    if error.code not in _SURELY_NOT_SENT:
        return Outcome("unknown", "connection_lost")
    if error.code == "unauthorized":
        return Outcome("not_sent", "bridge_unavailable")
    return Outcome("not_sent", "not_connected" if error.code in _AS_NOT_CONNECTED else error.code)


def _raise_for_refusal(answer: dict[str, Any]) -> None:
    """Of one send among many: what the bridge would have refused it for alone."""
    if error := answer.get("error"):
        raise BridgeError(str(error["code"]), str(error["message"]))


async def _raise_for_error(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    try:
        error = (await answer.json())["error"]
        code, message = str(error["code"]), str(error["message"])
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        code, message = "internal", f"HTTP {answer.status}"
    raise BridgeError(code, message)
