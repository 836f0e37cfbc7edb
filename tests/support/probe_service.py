"""The probe as a process of its own: `python probe_service.py`, settings from STOCKADE_PROBE_*."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stockade_audit import Journal
from stockade_rpckit.server import Served, Wiring, run_service
from stockade_rpckit.settings import ServiceSettings, load

from support.probe import Prober, stubs


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """`crash_after` seconds (0: never) makes the background work fail."""

    crash_after: float = 0.0


async def wire(settings: Settings) -> Wiring:
    """The probe over a journal of its own."""

    async def crash() -> None:
        await asyncio.sleep(settings.crash_after or 3600)
        raise RuntimeError("background work failed")

    async def drained() -> None:
        print("drained", flush=True)

    journal = Journal.open(settings.state_dir, service="probe", slot=f"probe-{settings.slot}")
    served = Served("probe.v1.Probe", stubs.add_ProbeServicer_to_server, Prober())
    return Wiring([served], journal, background=[crash], on_drain=drained)


if __name__ == "__main__":
    run_service("probe", load(Settings, "STOCKADE_PROBE"), wire)
