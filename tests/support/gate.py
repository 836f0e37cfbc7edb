"""The real gate for tests: Envoy as the product renders it, and the service's side of it in this process."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from stockade_audit import Journal
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.policies_memory import MemoryPolicies
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.policy import DEFAULT, Change, Limits, Policy
from stockade_network_policy.domain.ports import Write
from stockade_network_policy.gate import GateSettings, command
from stockade_network_policy.gate.bootstrap import bootstrap
from stockade_network_policy.gate.door import Door, NetworkMode
from stockade_network_policy.gate.gate import Gate
from stockade_network_policy.judgement import Judgement

from support import memory
from support.journals import leaves
from support.proxy import Proxy

ENVOY = Path(__file__).parents[2] / ".tools/envoy/envoy/_bin/envoy"
needs_envoy = pytest.mark.skipif(not ENVOY.exists(), reason="scripts/setup installs Envoy")

PLENTY = Limits(requests_per_minute=100_000, requests_per_hour=1_000_000, burst_size=100_000)


def policy(*domains: str, ports: Sequence[int] = (80, 443), limits: Limits = PLENTY, **more: Any) -> Policy:
    """A policy of the type `tester`."""
    fields = {"agent_type": "tester", "allowed_domains": tuple(sorted(domains)), **more}
    return Policy(**fields, limits=limits, allowed_ports=tuple(ports))


@dataclass
class RunningGate:
    """A gate that runs. `edit` changes the rendered configuration before Envoy reads it."""

    run_dir: Path
    settings: GateSettings
    catalogue: Catalogue
    judgement: Judgement
    journal: Journal
    edit: Callable[[dict[str, Any]], None]
    gate: Gate = field(init=False)
    envoy: asyncio.subprocess.Process = field(init=False)
    _serving: "asyncio.Task[None]" = field(init=False)

    async def start_service(self) -> None:
        """The service's side, as it starts."""
        self.gate = Gate(self.settings, self.judgement, self.catalogue, self.journal)
        self._serving = asyncio.create_task(self.gate.run())
        await until(lambda: (self.settings.gate_dir / "xds.sock").exists())

    async def stop_service(self) -> None:
        """The service's side, ended."""
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving

    async def start_envoy(self) -> None:
        """Envoy, and the wait until it listens to the service."""
        configuration = bootstrap(self.settings)
        self.edit(configuration)
        self.settings.config.write_text(yaml.safe_dump(configuration))
        with (self.run_dir / "envoy.log").open("ab") as log:
            self.envoy = await asyncio.create_subprocess_exec(*command(self.settings), stdout=log, stderr=log)
        await until(lambda: self.gate.announcer.connection is not None)

    async def kill_envoy(self, number: int = signal.SIGKILL) -> None:
        """Envoy's end."""
        if self.envoy.returncode is None:
            self.envoy.send_signal(number)
            await self.envoy.wait()

    async def open(self, sandbox: str = "sb-one", **fields: Any) -> Proxy:
        """A sandbox's door, and the way through it."""
        directory = self.run_dir / "sb" / sandbox
        directory.mkdir(parents=True, exist_ok=True)
        wanted = {
            "agent": f"agent-{sandbox}",
            "agent_type": "tester",
            "network_mode": NetworkMode.WHITELISTED,
            **fields,
        }
        sockets = {"egress_socket": f"{directory}/egress.sock", "api_socket": f"{directory}/api.sock"}
        door = await self.gate.doors.open(Door(sandbox=sandbox, **sockets, **wanted))
        return Proxy(Path(door.egress_socket))

    async def put(self, changed: Policy) -> None:
        """A policy, in force when this returns."""
        created = changed.agent_type not in {held.agent_type for held in self.catalogue.policies()}
        change = Change.CREATED if created else Change.UPDATED
        await self.catalogue.write([Write(policy=changed, change=change)], by="test")

    def entries(self, **wanted: Any) -> list[dict[str, Any]]:
        """The record's entries so far whose fields are these."""
        found = leaves(self.run_dir / "journals" / "policy-0")
        return [entry for entry in found if wanted.items() <= entry.items()]

    async def entry(self, within_s: float = 3.0, **wanted: Any) -> dict[str, Any]:
        """The first such entry, once it is there."""
        await until(lambda: bool(self.entries(**wanted)), within_s, f"an entry with {wanted}")
        return self.entries(**wanted)[0]


async def until(condition: Callable[[], bool], within_s: float = 5.0, what: str = "that") -> None:
    """Wait for a condition; AssertionError when it does not come in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {within_s} s"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running_gate(
    *policies: Policy,
    clock_us: Callable[[], int] | None = None,
    edit: Callable[[dict[str, Any]], None] = lambda configuration: None,
    **settings: Any,
) -> AsyncIterator[RunningGate]:
    """A gate with these policies, in a directory with a short name; nothing of it stays."""
    run_dir = Path(tempfile.mkdtemp(prefix="sg-", dir=memory.place()))
    for name in ("gate", "services", "sb", "journals"):
        (run_dir / name).mkdir()
    catalogue = Catalogue(MemoryPolicies(), {})
    closed = policy(agent_type=DEFAULT)
    seeds = [Write(policy=seed, change=Change.CREATED) for seed in (closed, *policies)]
    journal = Journal.open(run_dir / "journals", service="policy", slot="policy-0")
    limits = MemoryLimits(clock_us) if clock_us else MemoryLimits()
    running = RunningGate(
        run_dir=run_dir,
        settings=GateSettings(run_dir=run_dir, envoy=ENVOY, production=False, workers=2, **settings),
        catalogue=catalogue,
        judgement=Judgement(catalogue, limits, journal),
        journal=journal,
        edit=edit,
    )
    try:
        await catalogue.write(seeds, by="test")
        await running.start_service()
        await running.start_envoy()
        yield running
    finally:
        await running.kill_envoy()
        await running.stop_service()
        journal.close()
        if os.environ.get("STOCKADE_KEEP_GATE") is None:
            shutil.rmtree(run_dir)
