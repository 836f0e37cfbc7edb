"""Sandboxes: claims from the pool, a burst of them, execs, cold creates, and what an idle one costs."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from statistics import mean
from typing import Any

import docker
import grpc
from stockade.sandbox.v1 import exec_service_pb2 as execs
from stockade.sandbox.v1 import exec_service_pb2_grpc as execs_grpc
from stockade.sandbox.v1 import node_service_pb2 as nodes
from stockade.sandbox.v1 import node_service_pb2_grpc as nodes_grpc
from stockade.sandbox.v1 import sandbox_service_pb2 as pb
from stockade.sandbox.v1 import sandbox_service_pb2_grpc as pb_grpc
from stockade_rpckit import threads
from stockade_rpckit.channel import connect

from load.harness import Figure, p50, p99, per_second, run, seconds_each, stack
from support.greedy import MOST_OUTPUT, PROGRAMS

IMAGE = "stockade/agent:latest"
BURST = 100
IDLE = int(os.environ.get("STOCKADE_BENCH_IDLE", "500"))
MIB = 1 << 20
SMALL = {"memory_bytes": 128 * MIB, "disk_bytes": 16 * MIB, "pids": 48}

SETTINGS = {"WARM": f"default:{BURST}", "SANDBOXES_PER_OWNER": "1000", "SANDBOXES_PER_NODE": "1000"}


class Service:
    """The sandbox service of a stack, and the engine beside it."""

    def __init__(self, run_dir: Path) -> None:
        self.channel = connect(f"unix:{next((run_dir / 'operators').iterdir())}/sandbox.sock")
        self.sandboxes: Any = pb_grpc.SandboxServiceStub(self.channel)
        self.execs: Any = execs_grpc.ExecServiceStub(self.channel)
        self.nodes: Any = nodes_grpc.NodeServiceStub(self.channel)
        self.engine = docker.from_env()

    async def create(self, **fields: Any) -> str:
        """A sandbox's name; of class `default`, so that it can be a warm one."""
        request = pb.CreateSandboxRequest(agent="bench", agent_type="default", **fields)
        return str((await self.sandboxes.CreateSandbox(request)).sandbox.name)

    async def true(self, name: str) -> None:
        """Run a command in it."""
        command = execs.Command(args=["/bin/true"])
        done = await self.execs.RunCommand(execs.RunCommandRequest(sandbox=name, command=command))
        assert done.ending.exit_code == 0

    async def delete(self, name: str) -> None:
        """End it."""
        await self.sandboxes.DeleteSandbox(pb.DeleteSandboxRequest(name=name))

    async def until_warm(self, wanted: int) -> None:
        """Wait until so many wait for a claim."""
        while (await self.nodes.ListNodes(nodes.ListNodesRequest())).nodes[0].warm_sandboxes < wanted:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.2)


async def measure() -> list[Figure]:
    """All figures, one after another, so that none is taken while another loads the machine."""
    os.environ.update({f"STOCKADE_SANDBOX_{name}": value for name, value in SETTINGS.items()})
    with stack() as run_dir:
        service = Service(run_dir)
        await service.until_warm(BURST)
        figures = [*await claims(service), await burst(service)]
        await service.channel.close()
    os.environ["STOCKADE_SANDBOX_WARM"] = ""
    with stack() as run_dir:
        service = Service(run_dir)
        figures += [await tracing(service), *await executions(service), await neighbours(service)]
        figures += [await cold(service), *await gvisor(service), *await idle(service, run_dir)]
        await service.channel.close()
    return figures


async def claims(service: Service) -> list[Figure]:
    """A warm sandbox and its first command, beside `docker run` of the same image."""
    made: list[str] = []

    async def claim() -> None:
        made.append(await service.create())
        await service.true(made[-1])

    async def container() -> None:
        await threads.run(service.engine.containers.run, IMAGE, ["true"], network_mode="none", remove=True)

    ours = await seconds_each(BURST // 2, claim)
    await _all(service.delete, made)
    theirs = await seconds_each(15, container)
    return [
        Figure("claim_first_exec_p50_ms", p50(ours), "ms", "≤ 15", {"docker run": p50(theirs)}),
        Figure("claim_first_exec_p99_ms", p99(ours), "ms", "≤ 50", {"docker run": p50(theirs)}),
    ]


async def burst(service: Service) -> Figure:
    """A hundred callers at once, each with a first command."""
    await service.until_warm(BURST)
    made: list[str] = []

    async def claim() -> float:
        begun = time.perf_counter()
        made.append(await service.create())
        await service.true(made[-1])
        return time.perf_counter() - begun

    taken = sorted(await asyncio.gather(*(claim() for _ in range(BURST))))
    assert len(set(made)) == BURST
    await _all(service.delete, made)
    return Figure("burst_100_p99_ms", p99(taken), "ms", "≤ 500, with every one a success")


async def commands(service: Service) -> float:
    """Milliseconds that a command takes in a sandbox that runs, the median."""
    name = await service.create()
    await seconds_each(20, partial(service.true, name))
    taken = await seconds_each(300, partial(service.true, name))
    await service.delete(name)
    return p50(taken)


async def tracing(service: Service) -> Figure:
    """A command, beside the same in a stack that traces nothing; in turn, so that both see the same machine."""
    os.environ["OTEL_SDK_DISABLED"] = "true"
    with stack() as run_dir:
        del os.environ["OTEL_SDK_DISABLED"]
        other = Service(run_dir)
        places = [(service, await service.create()), (other, await other.create())]
        taken: list[list[float]] = [[], []]
        for _ in range(6):  # by the hundred: what is traced is exported 0.2 s later
            for (each, name), found in zip(places, taken, strict=True):
                found += await seconds_each(100, partial(each.true, name))
        for each, name in places:
            await each.delete(name)
        await other.channel.close()
    traced, untraced = (p50(sorted(found[100:])) for found in taken)
    return Figure("tracing_overhead_pct", (traced / untraced - 1) * 100, "%", "≤ 10")


async def executions(service: Service) -> list[Figure]:
    """A command, beside `docker exec` in a plain container; and sixteen callers at once."""
    took = await commands(service)
    name = await service.create()
    rate = await per_second(16, 60, partial(service.true, name))
    await service.delete(name)
    plain = service.engine.containers.run(IMAGE, ["sleep", "300"], network_mode="none", detach=True)
    try:
        theirs = await seconds_each(30, lambda: threads.run(plain.exec_run, ["/bin/true"]))
    finally:
        plain.remove(force=True)
    return [
        Figure("exec_p50_ms", took, "ms", "≤ 3", {"docker exec": p50(theirs)}),
        Figure("exec_per_s_16way", rate, "1/s", "≥ 300"),
    ]


async def neighbours(service: Service) -> Figure:
    """Commands in nine sandboxes while a tenth takes all it can, beside the same while it is quiet."""
    greedy, *others = [await service.create(limits=SMALL) for _ in range(10)]

    async def p95() -> float:
        taken: list[float] = []
        for _ in range(10):
            taken += [seconds for name in others for seconds in await seconds_each(1, partial(service.true, name))]
        return sorted(taken)[int(len(taken) * 0.95)]

    quiet = await p95()
    calls = [service.execs.Exec(iter([_endless(greedy, program)])) for program in PROGRAMS.values()]
    reading = [asyncio.create_task(_read(call)) for call in calls]
    await asyncio.sleep(1)
    busy = await p95()
    for call in calls:
        call.cancel()
    await asyncio.gather(*reading)
    await _all(service.delete, [greedy, *others])
    return Figure("neighbours_exec_p95_ratio", busy / quiet, "", "≤ 2")


def _endless(name: str, program: str) -> execs.ExecRequest:
    command = {"args": ("python3", "-c", program), "max_output_bytes": MOST_OUTPUT}
    return execs.ExecRequest(start={"sandbox": name, "command": command, "no_stdin": True})


async def _read(call: Any) -> None:
    """Takes all its output, until it is cancelled."""
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        async for _ in call:
            pass


async def cold(service: Service) -> Figure:
    """A create that no warm sandbox serves, hardened and with its quota, beside plain `docker create` and `start`."""
    made: list[str] = []
    numbers = count()
    client = service.engine.api

    async def create() -> None:
        made.append(await service.create(limits={"pids": 100}))

    def plain() -> None:
        name = f"bench-plain-{next(numbers)}"
        body = {"Image": IMAGE, "Cmd": ["sleep", "300"], "HostConfig": {"NetworkMode": "none"}}
        client.create_container_from_config(body, name=name)
        client.start(name)

    ours, theirs = [], []
    for _ in range(20):  # in turn, so that both see the same machine
        ours += await seconds_each(1, create)
        theirs += await seconds_each(1, lambda: threads.run(plain))
    await _all(service.delete, made)
    for number in range(next(numbers)):
        client.remove_container(f"bench-plain-{number}", force=True)
    ratio = {"docker create + start": p50(sorted(theirs))}
    return Figure("cold_create_p50_ms", p50(sorted(ours)), "ms", "≤ 1.5 × plain docker create + start", ratio)


async def gvisor(service: Service) -> list[Figure]:
    """A sandbox that goes on from live memory, until commands run in it, beside a new one of that tier."""
    if "runsc" not in service.engine.info()["Runtimes"]:
        return []
    small: dict[str, Any] = {"least_tier": "TIER_GVISOR", "limits": {"memory_bytes": 128 * MIB, "disk_bytes": 16 * MIB}}
    made = [await service.create(**small)]
    await service.true(made[0])
    request = pb.CreateSnapshotRequest(name=made[0], with_memory=True)
    snapshot = (await service.sandboxes.CreateSnapshot(request)).snapshot.name

    async def restore() -> None:
        restored = await service.sandboxes.RestoreSandbox(pb.RestoreSandboxRequest(snapshot=snapshot))
        made.append(restored.sandbox.name)

    async def create() -> None:
        made.append(await service.create(**small))

    ours, theirs = await seconds_each(12, restore), await seconds_each(6, create)
    await _all(service.delete, made)
    await service.sandboxes.DeleteSnapshot(pb.DeleteSnapshotRequest(name=snapshot))
    return [Figure("gvisor_restore_p50_ms", p50(ours), "ms", "≤ 300", {"a new one": p50(theirs)})]


async def idle(service: Service, run_dir: Path) -> list[Figure]:
    """What sandboxes cost that do nothing: in their own memory cgroup, and in all of the host's memory."""
    before = _available()
    made: list[str] = []

    async def create(_: object) -> None:
        made.append(await service.create(limits={"disk_bytes": 16 * MIB}))

    await _all(create, range(IDLE), at_once=4)
    await asyncio.sleep(5)
    host = (before - _available()) / len(made) / MIB
    used = [await service.sandboxes.GetSandboxUsage(pb.GetSandboxUsageRequest(name=name)) for name in made]
    rss = _service_rss(run_dir) / MIB
    await _all(service.delete, made, at_once=8)
    return [
        Figure("idle_sandboxes", len(made), "", "500"),
        Figure("idle_sandbox_mib", mean(each.usage.memory.used_bytes for each in used) / MIB, "MiB", "≤ 12"),
        Figure("idle_sandbox_host_mib", host, "MiB", "≤ 18"),
        Figure("service_rss_mib", rss, "MiB", "≤ 200"),
    ]


async def _all(work: Callable[[Any], Awaitable[None]], items: Any, at_once: int = 4) -> None:
    limit = asyncio.Semaphore(at_once)

    async def one(item: Any) -> None:
        async with limit:
            await work(item)

    await asyncio.gather(*map(one, items))


def _available() -> int:
    """Bytes that programs could still have."""
    found = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    assert found
    return int(found[1]) * 1024


def _service_rss(run_dir: Path) -> int:
    """Bytes of the stack's sandbox service."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            program, environment = (directory / "cmdline").read_bytes(), (directory / "environ").read_bytes()
            if b"stockade-sandbox" in program.split(b"\0")[1] and bytes(run_dir) in environment:
                return int((directory / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            continue
    raise AssertionError("the stack's sandbox service does not run")


if __name__ == "__main__":
    run(measure)
