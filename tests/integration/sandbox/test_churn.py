"""Sandboxes come and go for a long time: what the service holds of the host stays as it was."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import file_service_pb2, sandbox_service_pb2
from stockade_rpckit.errors import details_of
from stockade_sandbox.domain.sandbox import new_name

from support.census import container_ids, remains
from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, mounts_below, served_sandboxes

pytestmark = pytest.mark.docker

WORKERS = 3
CONNECTIONS = 25
"""To the engine, that docker-py keeps in each thread, once so many calls were made."""
MIB = 1 << 20


@dataclass(frozen=True)
class Held:
    """What one service holds. `rss` in MiB; without those of sandboxes that live just now."""

    rss: float
    descriptors: int
    threads: int
    loops: int
    mounts: int


@pytest.fixture
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service that soon forgets what has ended, with a pool."""
    with served_sandboxes(engine, warm="default:2", keep_ended_seconds=2) as running:
        yield running


@pytest.mark.parametrize("seconds", [8, pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_what_is_held_is_flat(seconds: int, served: ServedSandboxes) -> None:
    rounds = max(2, seconds // 60)
    _churn(served, 5)  # pools of threads, connections and caches fill up
    held: list[Held] = []
    made, ids = 0, set[str]()
    for _ in range(rounds):
        made += _churn(served, seconds / rounds, ids)
        held.append(_at_rest(served))
    assert made > seconds
    assert eventually(lambda: not remains(ids - container_ids(served)), seconds=10)
    first, last = held[0], held[-1]
    assert astuple(last)[3:] == astuple(first)[3:], held
    assert last.descriptors <= max(first.descriptors, CONNECTIONS * last.threads), held
    assert last.threads <= first.threads + 4, held
    assert last.rss - first.rss < 4 + made / 500, held


def _churn(served: ServedSandboxes, seconds: float, ids: set[str] | None = None) -> int:
    """Workers that make, use and end sandboxes for so long; how many they made."""
    until, made = time.monotonic() + seconds, [0] * WORKERS

    def work(number: int) -> None:
        ada = served.operator()
        while time.monotonic() < until:
            _live(ada, warm=number == 0)
            made[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    while ids is not None and time.monotonic() < until:
        ids |= container_ids(served)
        time.sleep(2)
    for worker in workers:
        worker.join()
    for caller in served.callers:
        caller.channel.close()
    served.callers.clear()
    return sum(made)


def _live(ada: Caller, warm: bool) -> None:
    """One sandbox's whole life."""
    limits = {} if warm else {"limits": {"pids": 40}}
    request = new_name("rq")
    name = _patiently(lambda: ada.create(request_id=request, **limits)).name
    _patiently(lambda: ada.run(name, "sh", "-c", "echo x > /workspace/f; (sleep 60 &); true"))
    _patiently(lambda: ada.files.StatFile(file_service_pb2.StatFileRequest(sandbox=name, path="/workspace/f")))
    _patiently(lambda: ada.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=name)))
    _patiently(lambda: ada.sandboxes.ResumeSandbox(sandbox_service_pb2.ResumeSandboxRequest(name=name)))
    _patiently(lambda: ada.sandboxes.GetSandboxUsage(sandbox_service_pb2.GetSandboxUsageRequest(name=name)))
    _patiently(lambda: ada.delete(name))


def _patiently(call: Callable[[], Any]) -> Any:
    """What a call answers. A host too busy to record in time refuses, as it should; the caller asks again."""
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if details_of(error)["reason"] != "RECORD_UNAVAILABLE":
                raise
        time.sleep(0.2)


def _at_rest(served: ServedSandboxes) -> Held:
    """What is held once only the pool's members are there."""
    with contextlib.closing(served.operator().channel):
        eventually(lambda: len(served.containers()) == 2 and _loops(served) == 2, seconds=30)
    time.sleep(3)  # what has ended is forgotten, what was cut is closed
    assert served.process
    process = Path(f"/proc/{served.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Held(
        rss=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(os.listdir(process / "fd")),
        threads=int(status["Threads"]),
        loops=_loops(served),
        mounts=len(mounts_below(served.root)),
    )


def _loops(served: ServedSandboxes) -> int:
    command = ["losetup", "--noheadings", "--output", "BACK-FILE"]
    return subprocess.run(command, capture_output=True, text=True).stdout.count(f"{served.root}/")
