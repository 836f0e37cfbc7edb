"""Reads from Envoy how often its local caps refused each sandbox: the counters of its admin socket."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from stockade_audit import Action
from stockade_rpckit.folds import Folds
from stockade_rpckit.logs import get_logger

from stockade_network_policy.gate.door import Door
from stockade_network_policy.gate.outcomes import kind_of
from stockade_network_policy.gate.telemetry import CAPPED

log = get_logger(__name__)

_COUNTERS = {
    "local_cap": re.compile(rf"caps\.{CAPPED}\.sandbox\.(?P<sandbox>.+)\.chain\.\w+"),
    "connection_rate": re.compile(r"listener_local_ratelimit\.\w+/(?P<sandbox>.+)\.rate_limited"),
    "connection_limit": re.compile(r"connection_limit\.\w+/(?P<sandbox>.+)\.limited_connections"),
}
_QUERY = "/stats?format=json&usedonly&type=Counters&filter=" + quote(f"{CAPPED}|/.*(rate_limited|limited_connections)$")
_STATUS = {"local_cap": 429}


class Caps:
    """The counters as they were last read; a file keeps them, so that a service started again counts on from there."""

    def __init__(self, admin: Path, file: Path, folds: Folds, door_of: Callable[[str], Door | None]) -> None:
        self._admin = admin
        self._file = file
        self._folds = folds
        self._door_of = door_of
        self._seen: dict[str, int] = {}
        with suppress(FileNotFoundError, ValueError):  # none yet, or torn: then what Envoy has counted counts
            self._seen = orjson.loads(file.read_bytes())
        self._kept = dict(self._seen)

    def keep(self) -> None:
        """Notes what was counted, once it is on the record."""
        if self._kept == self._seen:
            return
        self._kept = dict(self._seen)
        draft = self._file.with_suffix(".draft")
        try:
            draft.write_bytes(orjson.dumps(self._kept))
            draft.rename(self._file)
        except OSError as error:
            log.warning("a restart would count refusals of local caps again", extra={"error": str(error)})

    async def read(self) -> None:
        """Counts what was refused since the last time. An Envoy that does not answer refuses nothing just now."""
        self.keep()  # the counts of the last time were written before this one
        try:
            async with asyncio.timeout(1):
                stats = await _stats(self._admin)
        except (OSError, TimeoutError, ValueError, KeyError):
            return
        for stat in stats:
            name, value = stat["name"], stat["value"]
            new = value - self._seen.get(name, 0)
            self._seen[name] = value
            if new:  # a value below the last one comes from an Envoy that was started again
                self._count(name, new if new > 0 else value)

    def _count(self, name: str, new: int) -> None:
        for rule, pattern in _COUNTERS.items():
            if match := pattern.fullmatch(name):
                sandbox = match["sandbox"]
                reason = "more than one sandbox may ask of the gate at once"
                kind = kind_of(Action.RATE_LIMITED, rule, reason, sandbox, self._door_of(sandbox), _STATUS.get(rule, 0))
                self._folds.add(kind, new)


async def _stats(admin: Path) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(str(admin))
    try:
        writer.write(f"GET {_QUERY} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    stats = orjson.loads(_unchunked(answer.partition(b"\r\n\r\n")[2]))["stats"]
    return [stat for stat in stats if "name" in stat]


def _unchunked(body: bytes) -> bytes:
    """A body without its chunks' lengths (RFC 9112 §7.1). Raises ValueError for another."""
    chunks = []
    while body:
        length, _, rest = body.partition(b"\r\n")
        size = int(length, 16)
        chunks.append(rest[:size])
        body = rest[size + 2 :]
    return b"".join(chunks)
