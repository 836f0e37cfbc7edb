"""Answers Envoy's questions: HTTP/1.1 on a Unix socket, by hand, since it is asked before each request.

`POST /check`  headers x-method, x-host, x-path, x-scheme, x-sandbox (, x-lease, x-length, traceparent)
               200 with x-stockade-host and x-stockade-port, or 403, 429, 503 with a JSON body that says why
`GET /explain` header x-stockade-sandbox: that sandbox's latest refusals, or the decision `?id=`
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import orjson
from stockade_audit import RecordUnavailable
from stockade_rpckit.logs import get_logger
from stockade_rpckit.tracing import extract, tracer

from stockade_network_policy import refusals
from stockade_network_policy.domain.decision import Decision, Origin, Request, Verdict
from stockade_network_policy.gate import sockets, target
from stockade_network_policy.gate.door import Door
from stockade_network_policy.handlers.explain import explain
from stockade_network_policy.judgement import Judgement
from stockade_network_policy.refusals import EXPLAIN_HOST

log = get_logger(__name__)

MAX_HEAD_BYTES = 64 * 1024
_STATUS = {
    200: b"200 OK",
    400: b"400 Bad Request",
    403: b"403 Forbidden",
    404: b"404 Not Found",
    429: b"429 Too Many Requests",
    503: b"503 Service Unavailable",
}

_SAMPLED = "-01"
"""How the traceparent of a trace that is kept ends (W3C Trace Context §3.2.2.5)."""

Headers = dict[str, str]


@dataclass(slots=True)
class Judge:
    """From a question's headers to the bytes of its answer."""

    judgement: Judgement
    door_of: Callable[[str], Door | None]
    longest: int = 256 << 20  # bytes that a request may announce
    judged: int = 0
    refused: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def check(self, headers: Headers) -> bytes:
        """Judges one request. What cannot be judged or recorded is refused with 503."""
        self.judged += 1
        door = self.door_of(headers.get("x-sandbox", ""))
        if door is None:
            return self._unavailable("NO_DOOR", "the service does not know this sandbox's door")
        try:
            decision = await self._judge(_request(headers, door, self.longest))
        except RecordUnavailable:
            return self._unavailable("RECORD_UNAVAILABLE", "the audit record cannot be written; try again")
        if decision.verdict is Verdict.ALLOW:
            return _allowed(decision)
        self.refused += 1
        return response(refusals.status(decision), refusals.headers(decision), refusals.body(decision))

    async def _judge(self, request: Request) -> Decision:
        """A traced request gets a span of its own; most are not traced, and a span costs as much as a decision."""
        if not request.traceparent.endswith(_SAMPLED):
            return await self.judgement.judge(request)
        with tracer().start_as_current_span("policy.judge", extract({"traceparent": request.traceparent})) as span:
            decision = await self.judgement.judge(request)
            span.set_attributes({"stockade.decision": decision.decision_id, "stockade.verdict": str(decision.verdict)})
            return decision

    async def explain(self, headers: Headers, url: str) -> bytes:
        """The sandbox's latest refusals, or the one decision that `?id=` names."""
        parts, sandbox = urlsplit(url), headers.get("x-stockade-sandbox", "")
        if parts.path != "/explain" or not sandbox:
            return _told(404, {"error": f"ask http://{EXPLAIN_HOST}/explain"})
        wanted = parse_qs(parts.query).get("id", [""])[0]
        told = explain(self.judgement, sandbox, wanted)
        return _told(404, {"error": f"no decision {wanted}"}) if told is None else _told(200, told)

    def _unavailable(self, reason: str, message: str) -> bytes:
        self.refused += 1
        return _told(503, {"verdict": "UNAVAILABLE", "reason": reason, "message": message})


class Connection(asyncio.Protocol):
    """One of Envoy's connections: a question at a time, kept alive."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol: a question is a head without a body."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            task = asyncio.get_running_loop().create_task(self._answer(head))
            self._judge.tasks.add(task)
            task.add_done_callback(self._judge.tasks.discard)
        if len(self._buffer) > MAX_HEAD_BYTES:
            self._transport.close()

    async def _answer(self, head: bytes) -> None:
        try:
            line, headers = parse(head)
            if line.startswith("POST /check "):
                answer = await self._judge.check(headers)
            elif line.startswith("GET "):
                answer = await self._judge.explain(headers, line.split(" ")[1])
            else:
                answer = response(400, {}, b"")
        except Exception:
            log.exception("a question could not be answered")
            answer = response(503, {}, b"")
        self._transport.write(answer)


async def serve(judge: Judge, path: Path) -> asyncio.AbstractServer:
    """Listens on `path`; whoever can enter its directory may ask."""
    sockets.clear(path)
    server = await asyncio.get_running_loop().create_unix_server(lambda: Connection(judge), str(path), backlog=1024)
    sockets.open_to_directory(path)
    return server


def parse(head: bytes) -> tuple[str, Headers]:
    """The request line and the headers of a request's head. The last of equal names counts.

    Envoy alone asks, which writes "name: value" with names in lower case. Raises ValueError for what it never writes.
    """
    line, *rest = head.decode("utf-8", "replace").split("\r\n")
    return line, dict(header.split(": ", 1) for header in rest)


def response(status: int, headers: Headers, body: bytes) -> bytes:
    """A whole answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (_STATUS[status], lines.encode(), len(body), body)


def _told(status: int, told: dict[str, Any]) -> bytes:
    body = orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
    return response(status, {"content-type": "application/json"}, body)


def _request(headers: Headers, door: Door, longest: int) -> Request:
    """Who asks is what the door says, as the service opened it."""
    method, scheme = headers.get("x-method", ""), headers.get("x-scheme", "")
    host, port, malformed = target.read(method, scheme, headers.get("x-host", ""))
    if (length := headers.get("x-length")) and not malformed:
        malformed = target.too_long(length, longest)
    return Request(
        agent=door.agent,
        agent_type=door.agent_type,
        sandbox=door.sandbox,
        host=host,
        port=port,
        malformed=malformed,
        method=method,
        scheme=scheme,
        path=headers.get("x-path", ""),
        narrowing=door.narrowing,
        lease=headers.get("x-lease", ""),
        traceparent=headers.get("traceparent", ""),
        origin=Origin.GATE,
    )


def _allowed(decision: Decision) -> bytes:
    host = decision.canonical_host
    headers = {
        "x-stockade-decision": decision.decision_id,
        # Envoy connects to what it reads here: the last group of a bare IPv6 address would be a port to it.
        "x-stockade-host": f"[{host}]" if ":" in host else host,
        "x-stockade-port": str(decision.port),
    }
    return response(200, headers, b"")
