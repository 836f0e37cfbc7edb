"""Killing and freezing the service and Envoy under load: no byte that policy does not allow, and back within 2 s."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from support.dns import Zone, serving
from support.gate import needs_envoy
from support.gate_process import GateProcess, gate_process
from support.origins import Origin, origin
from support.proxy import Proxy

pytestmark = [pytest.mark.gate, needs_envoy]

RECOVERY_S = 2.0


@dataclass
class Load:
    """Allowed and refused requests in turn, for as long as it runs. `seen` are (time, allowed, status)."""

    gate: GateProcess
    door: Proxy
    ok: Origin
    evil: Origin
    seen: list[tuple[float, bool, int]] = field(default_factory=list)

    async def run(self) -> None:
        """One client."""
        while True:
            for allowed, url in (
                (True, f"http://ok.test:{self.ok.port}/"),
                (False, f"http://evil.test:{self.evil.port}/"),
            ):
                self.seen.append((time.monotonic(), allowed, await self._status(url)))
            await asyncio.sleep(0.005)

    async def _status(self, url: str) -> int:
        try:
            return (await self.door.get(url)).status
        except (OSError, TimeoutError):
            return 0

    async def passes_again(self, since: float) -> float:
        """Seconds from `since` to the first allowed request that passed. AssertionError after twice the target."""
        while True:
            passed = [at for at, allowed, status in self.seen if allowed and status == 200 and at >= since]
            if passed:
                return passed[0] - since
            assert time.monotonic() - since < 2 * RECOVERY_S, "no request passes again"
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def load() -> AsyncIterator[Load]:
    names = {"ok.test": ["127.0.0.1"], "evil.test": ["127.0.0.3"]}
    async with serving(Zone({**names})) as zone, origin() as ok, origin("127.0.0.3") as evil:
        settings = {
            "production": "false",
            "exceptions": f"{ok.endpoint},{evil.endpoint}",
            "resolvers": zone.address,
            "requests_per_second": "100000",
            "connections_per_second": "100000",
        }
        with gate_process(**settings) as gate:
            gate.allow("ok.test", ports=(ok.port, evil.port))
            running = Load(gate, gate.open("sb-one"), ok, evil)
            clients = [asyncio.create_task(running.run()) for _ in range(4)]
            await running.passes_again(time.monotonic())
            yield running
            for client in clients:
                client.cancel()
            for client in clients:
                with suppress(asyncio.CancelledError):
                    await client
            assert evil.untouched()
            assert {status for _, allowed, status in running.seen if not allowed} <= {403, 503, 0}


async def test_the_service_killed(load: Load) -> None:
    await asyncio.to_thread(load.gate.service.stop, signal.SIGKILL)
    died = time.monotonic()
    await asyncio.sleep(0.5)
    assert {status for at, _, status in load.seen if at > died + 0.1} <= {503}
    started = time.monotonic()
    await asyncio.to_thread(load.gate.service.start)
    assert await load.passes_again(started) < RECOVERY_S + 3  # a Python process takes its time to start
    await asyncio.to_thread(load.gate.wait_ready)


async def test_the_service_frozen(load: Load) -> None:
    load.gate.service.process.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    await asyncio.sleep(2.5)
    assert {status for at, _, status in load.seen if at > frozen + 0.1} <= {503}
    load.gate.service.process.send_signal(signal.SIGCONT)
    assert await load.passes_again(time.monotonic()) < RECOVERY_S


async def test_envoy_killed(load: Load) -> None:
    load.gate.kill_envoy()
    died = time.monotonic()
    await asyncio.sleep(0.3)
    assert {status for at, _, status in load.seen if at > died} <= {0}
    started = time.monotonic()
    await asyncio.to_thread(load.gate.start_envoy)
    assert await load.passes_again(started) < RECOVERY_S + 2  # two programs of ours are asked for its command line


async def test_envoy_frozen(load: Load) -> None:
    load.gate.envoy.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.5)
    load.gate.envoy.send_signal(signal.SIGCONT)
    assert await load.passes_again(time.monotonic()) < RECOVERY_S
