"""Parts that die or freeze while requests come through a gate, and how long it takes until requests pass again."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.dns import Zone, serving
from support.gate_process import GateProcess, gate_process
from support.origins import Origin, origin
from support.proxy import Proxy
from support.redis_server import RedisServer, redis_server

CLIENTS, AWAY_S, PATIENCE_S = 4, 1.5, 30.0
GRACE_S = 0.15
"""What was asked so shortly before may still be answered as before."""


@dataclass
class Load:
    """Allowed and refused requests in turn, for as long as it runs. `seen` are (asked, answered, allowed, status)."""

    gate: GateProcess
    redis: RedisServer
    door: Proxy
    ok: Origin
    evil: Origin
    seen: list[tuple[float, float, bool, int]] = field(default_factory=list)

    async def run(self) -> None:
        """One client."""
        while True:
            for allowed, url in (
                (True, f"http://ok.test:{self.ok.port}/"),
                (False, f"http://evil.test:{self.evil.port}/"),
            ):
                asked, status = time.monotonic(), await self._status(url)
                self.seen.append((asked, time.monotonic(), allowed, status))
            await asyncio.sleep(0.005)

    async def _status(self, url: str) -> int:
        try:
            return (await self.door.get(url)).status
        except (OSError, TimeoutError):
            return 0

    async def passes_again(self, since: float) -> float:
        """Seconds from `since` to the first allowed request that passed. Raises AssertionError."""
        while True:
            passed = [asked for asked, _, allowed, status in self.seen if allowed and status == 200 and asked >= since]
            if passed:
                return passed[0] - since
            assert time.monotonic() - since < PATIENCE_S, "no request passes again"
            await asyncio.sleep(0.01)

    def statuses(self, *, allowed: bool, since: float = 0.0, until: float = float("inf")) -> set[int]:
        """What was answered to requests that were asked after `since` and answered before `until`."""
        return {
            status
            for asked, answered, each, status in self.seen
            if each is allowed and since < asked <= answered < until
        }


@asynccontextmanager
async def load() -> AsyncIterator[Load]:
    """Load on a gate of its own, whose service counts in a Redis of its own."""
    async with (
        serving(Zone({"ok.test": ["127.0.0.1"], "evil.test": ["127.0.0.3"]})) as zone,
        origin() as ok,
        origin("127.0.0.3") as evil,
    ):
        settings = {
            "production": "false",
            "exceptions": f"{ok.endpoint},{evil.endpoint}",
            "resolvers": zone.address,
            "requests_per_second": "100000",
            "connections_per_second": "100000",
        }
        with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as redis:
            counted = {"limits": "redis", "redis_url": redis.url}
            with gate_process(service=counted, **settings) as gate:
                gate.allow("ok.test", ports=(ok.port, evil.port))
                running = Load(gate, redis, gate.open("sb-one"), ok, evil)
                clients = [asyncio.create_task(running.run()) for _ in range(CLIENTS)]
                await running.passes_again(time.monotonic())
                try:
                    yield running
                finally:
                    for client in clients:
                        client.cancel()
                        with suppress(asyncio.CancelledError):
                            await client


@dataclass(frozen=True)
class Outage:
    """How a part goes and comes back, and what allowed requests get in between; None: nothing until it is back."""

    goes: Callable[[Load], object]
    comes: Callable[[Load], object]
    answers: frozenset[int] | None

    async def befall(self, load: Load) -> float:
        """Let it happen. Returns the seconds from the part's start to the first request that passes again."""
        await asyncio.to_thread(self.goes, load)
        gone = time.monotonic()
        await asyncio.sleep(AWAY_S)
        back = time.monotonic()
        await asyncio.to_thread(self.comes, load)
        recovered = await load.passes_again(back)
        if self.answers is not None:
            told = load.statuses(allowed=True, since=gone + GRACE_S, until=back)
            assert told <= self.answers, told
        return recovered


def _envoy(number: int) -> Callable[[Load], object]:
    return lambda load: load.gate.envoy.send_signal(number)


def _service(number: int) -> Callable[[Load], object]:
    return lambda load: load.gate.service.process.send_signal(number)


def _redis(number: int) -> Callable[[Load], object]:
    return lambda load: load.redis.process.send_signal(number)


OUTAGES = {
    "the service killed": Outage(
        lambda load: load.gate.service.stop(signal.SIGKILL), lambda load: load.gate.service.start(), frozenset({503})
    ),
    "the service frozen": Outage(_service(signal.SIGSTOP), _service(signal.SIGCONT), frozenset({503})),
    "Redis killed": Outage(lambda load: load.redis.stop(), lambda load: load.redis.start(), frozenset({429})),
    "Redis frozen": Outage(_redis(signal.SIGSTOP), _redis(signal.SIGCONT), frozenset({429})),
    "Envoy killed": Outage(lambda load: load.gate.kill_envoy(), lambda load: load.gate.start_envoy(), frozenset({0})),
    "Envoy frozen": Outage(_envoy(signal.SIGSTOP), _envoy(signal.SIGCONT), None),
}
