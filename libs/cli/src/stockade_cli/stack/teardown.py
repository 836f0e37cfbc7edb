"""The end of a stack: in order where its services still answer, and by force where something was left."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from stockade.sandbox.v1 import sandbox_service_pb2, sandbox_service_pb2_grpc
from stockade_agent.client import AsyncStockade, typed_errors
from stockade_agent.errors import StockadeError

from stockade_cli.settings import StackSettings
from stockade_cli.stack import engine, firewall
from stockade_cli.stack.record import Lock, StackRecord

STOP_SECONDS = 90.0
"""More than the supervisor takes when each of its five processes has to be killed."""
SANDBOX_LABEL = "dev.stockade.sandbox"
"""Stands on each container that the sandbox service makes."""


def take_down(settings: StackSettings) -> Iterator[str]:
    """Stop the stack of `settings` and take away what it left; yields a line for each thing done."""
    record = StackRecord.read(settings.run_dir)
    holder = Lock(settings.run_dir).holder()
    if holder is not None:
        yield from _delete_sandboxes(settings, record)
        _end(holder, settings)
        yield "the services and the gate have ended"
    if record is not None:
        yield from _sweep(settings, record)
        yield from _stop_engine(record)
    if settings.run_dir.exists():
        _unmount(settings.run_dir)  # whether or not a record was left: no sandbox's files are ours to remove one by one
        shutil.rmtree(settings.run_dir)
        yield f"{settings.run_dir} is gone; {settings.state_dir} stays"
    elif record is None:
        yield "nothing runs"


def _delete_sandboxes(settings: StackSettings, record: StackRecord | None) -> Iterator[str]:
    try:
        count = asyncio.run(_delete_all(settings))
    except StockadeError as error:
        yield f"sandboxes could not be deleted in order and are removed by force: {error.message}"
    else:
        if count:
            yield f"{count} sandboxes deleted"


async def _delete_all(settings: StackSettings) -> int:
    """Over the operator's socket, so that the record says who ended them."""
    async with AsyncStockade.connect(settings.run_dir) as stockade:
        stub = stockade.stub(sandbox_service_pb2_grpc.SandboxServiceStub, "sandbox")
        count = 0
        with typed_errors():
            while names := await _present(stub):
                deletions = (
                    stub.DeleteSandbox(sandbox_service_pb2.DeleteSandboxRequest(name=name), timeout=30)
                    for name in names
                )
                await asyncio.gather(*deletions)
                count += len(names)
        return count


async def _present(stub: Any) -> list[str]:
    """This node's sandboxes: a watch begins with them, where a list would tell of a whole fleet's."""
    names: list[str] = []
    watch = stub.WatchSandboxes(sandbox_service_pb2.WatchSandboxesRequest(), timeout=10)
    async for told in watch:
        if not told.HasField("sandbox"):
            break
        names.append(told.sandbox.name)
    watch.cancel()
    return names


def _end(supervisor: int, settings: StackSettings) -> None:
    """SIGTERM, and SIGKILL for one that does not end; its children end with it."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(supervisor, signal.SIGTERM)
        while Lock(settings.run_dir).holder() == supervisor:
            if time.monotonic() > deadline:
                os.kill(supervisor, signal.SIGKILL)
            time.sleep(0.05)


def _sweep(settings: StackSettings, record: StackRecord) -> Iterator[str]:
    """What a killed service left. Nothing, after an end in order."""
    if containers := _containers(settings, record.engine):
        subprocess.run(["docker", "-H", record.engine, "rm", "-fv", *containers], check=False, capture_output=True)
        yield f"{len(containers)} containers removed"
    _unmount(settings.run_dir)
    for image in (settings.state_dir / "sandbox" / "disks").glob("*.img"):
        image.unlink()
    if record.firewall:
        firewall.remove(record.firewall)


def _containers(settings: StackSettings, address: str) -> list[str]:
    """Sandboxes' containers that hold a directory of this stack; another stack's are left alone."""
    listing = ["docker", "-H", address, "ps", "-a", "--no-trunc", "--filter", f"label={SANDBOX_LABEL}"]
    found = subprocess.run([*listing, "--format", "{{.ID}} {{.Mounts}}"], check=False, capture_output=True, text=True)
    ours = f"{settings.run_dir}/sb/"
    return [line.split()[0] for line in found.stdout.splitlines() if ours in line]


def _unmount(run_dir: Path) -> None:
    for mount in _mounts(run_dir):
        subprocess.run(["umount", "--lazy", mount], check=False)


def _mounts(run_dir: Path) -> list[str]:
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((point for point in points if Path(point).is_relative_to(run_dir)), reverse=True)


def _stop_engine(record: StackRecord) -> Iterator[str]:
    """An engine that this stack started ends with it, unless somebody else's containers run on it."""
    if not record.engine_ours or not engine.find():
        return
    listing = ["docker", "-H", record.engine, "ps", "-q"]
    running = subprocess.run(listing, check=False, capture_output=True, text=True).stdout.split()
    if running:
        yield f"the engine stays: {len(running)} other containers run on it; end it with: deploy/host/engine stop"
        return
    engine.stop()
    yield "the engine has ended"
