"""What every engine does."""

import asyncio
import json
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from stockade_sandbox.domain.errors import EngineRefused, EngineUnavailable, ImageMissing, MemoryNotKept
from stockade_sandbox.domain.ports import Change, Container, ContainerState, EngineEvent, Mount
from stockade_sandbox.domain.sandbox import Limits, Tier, new_name
from stockade_sandbox.engines.docker import DockerEngine

from support.engine import AGENT_IMAGE, EngineInUse

pytestmark = pytest.mark.docker

SPEAK = "import sys, time; print('out'); print('err', file=sys.stderr, flush=True); sys.stdout.flush(); time.sleep(60)"


@pytest.fixture
async def docker(engine: EngineInUse) -> AsyncIterator[DockerEngine]:
    found = DockerEngine(engine.address, service_id=f"contract-{os.getpid()}")
    yield found
    for name in await found.statuses():
        await found.remove(name)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the engine sees too."""
    with tempfile.TemporaryDirectory(prefix="stk-", dir=os.environ.get("STOCKADE_TEST_DIR")) as directory:
        yield Path(directory)


@pytest.fixture
def container(place: Path) -> Container:
    return Container(
        name=new_name(),
        image=AGENT_IMAGE,
        uid=1_900_000_000,
        limits=Limits(cpu=0.5, memory=64 << 20, disk=1 << 20, pids=16),
        cpus=(0,),
        host_network=False,
        command=("python3", "-c", SPEAK),
        mounts=(Mount(place, "/workspace", read_only=False),),
        working_dir="/workspace",
        tier=Tier.RUNC,
        labels={"a": "b"},
    )


async def test_a_container_comes_runs_stands_still_and_goes(docker: DockerEngine, container: Container) -> None:
    name = container.name
    assert await docker.status(name) is None
    await docker.create(container)
    status = await docker.status(name)
    assert status
    assert (status.state, status.init_pid) == (ContainerState.CREATED, 0)
    status = await docker.start(name)
    assert (status.state, status.init_pid > 0) == (ContainerState.RUNNING, True)
    assert status.image_digest.startswith("sha256:")
    for _ in range(2):
        await docker.pause(name)
    assert (await docker.statuses())[name].state is ContainerState.PAUSED
    for _ in range(2):
        await docker.resume(name)
    assert (await docker.statuses())[name].state is ContainerState.RUNNING
    for _ in range(2):
        await docker.remove(name)
    assert await docker.status(name) is None
    assert await docker.statuses() == {}


async def test_limits_change_while_it_runs(docker: DockerEngine, container: Container, engine: EngineInUse) -> None:
    await docker.create(container)
    await docker.start(container.name)
    await docker.update(container.name, Limits(cpu=0.25, memory=48 << 20, disk=1, pids=32))
    wall = json.loads(engine.docker("inspect", container.name))[0]["HostConfig"]
    assert (wall["NanoCpus"], wall["Memory"], wall["MemorySwap"], wall["PidsLimit"]) == (
        250000000,
        48 << 20,
        48 << 20,
        32,
    )


async def test_refusals(docker: DockerEngine, container: Container) -> None:
    with pytest.raises(ImageMissing):
        await docker.create(replace(container, image="stockade/nowhere:1"))
    with pytest.raises(EngineRefused):
        await docker.create(replace(container, mounts=(Mount(Path("/nowhere"), "/workspace"),)))
    with pytest.raises(EngineRefused):
        await docker.pause(container.name)
    await docker.create(replace(container, command=("/nowhere",)))
    with pytest.raises(EngineRefused, match="nowhere"):
        await docker.start(container.name)


async def test_an_engine_that_does_not_answer(container: Container) -> None:
    absent = DockerEngine("unix:///tmp/no-engine.sock", "contract")
    for call in (absent.version(), absent.create(container), absent.statuses(), absent.remove("sb-a")):
        with pytest.raises(EngineUnavailable, match="no such file"):
            await call


async def test_deaths_and_removals_are_told(docker: DockerEngine, container: Container, engine: EngineInUse) -> None:
    async with aclosing(docker.events()) as events:
        assert await anext(events) == EngineEvent(Change.CONNECTED)
        await docker.create(container)
        await docker.start(container.name)
        engine.docker("kill", container.name)
        async with asyncio.timeout(10):
            assert await anext(events) == EngineEvent(Change.DIED, container.name)
            await docker.remove(container.name)
            assert await anext(events) == EngineEvent(Change.REMOVED, container.name)


async def test_a_name_that_leads_elsewhere_is_told(docker: DockerEngine, engine: EngineInUse) -> None:
    name = f"stockade/contract-{os.getpid()}:latest"
    with pytest.raises(ImageMissing):
        await docker.image_digest(name)
    async with aclosing(docker.events()) as events:
        assert await anext(events) == EngineEvent(Change.CONNECTED)
        engine.docker("tag", AGENT_IMAGE, name)
        async with asyncio.timeout(10):
            assert await anext(events) == EngineEvent(Change.IMAGES)
        assert await docker.image_digest(name) == await docker.image_digest(AGENT_IMAGE)
        engine.docker("rmi", name)


async def test_both_streams_of_the_log_are_told_apart(docker: DockerEngine, container: Container) -> None:
    await docker.create(container)
    await docker.start(container.name)
    lines = []
    async with asyncio.timeout(10), aclosing(docker.logs(container.name, tail=0, follow=True)) as log:
        async for line in log:
            lines.append((line.stderr, line.data))
            if len(lines) == 2:
                break
    assert sorted(lines) == [(False, b"out\n"), (True, b"err\n")]
    async with aclosing(docker.logs(container.name, tail=1, follow=False)) as log:
        assert len([line async for line in log]) == 1


async def test_another_services_containers_are_not_ours(
    docker: DockerEngine, container: Container, engine: EngineInUse
) -> None:
    other = DockerEngine(engine.address, service_id="contract-other")
    await other.create(container)
    try:
        assert await docker.statuses() == {}
        assert set(await other.statuses()) == {container.name}
    finally:
        with suppress(EngineUnavailable):
            await other.remove(container.name)


async def test_a_follower_that_goes_leaves_no_thread(docker: DockerEngine, container: Container) -> None:
    await docker.create(container)
    await docker.start(container.name)
    for _ in range(40):  # more than the pool of blocking work has threads
        async with aclosing(docker.logs(container.name, tail=0, follow=True)) as log:
            await anext(log)
            waiting = asyncio.ensure_future(anext(log))
            await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
    assert await docker.version()
    for thread in threading.enumerate():
        if thread.name == "docker-stream":
            thread.join(5)
            assert not thread.is_alive()


async def test_a_tier_without_a_kernel_of_its_own_keeps_no_memory(
    docker: DockerEngine, container: Container, place: Path
) -> None:
    await docker.create(container)
    await docker.start(container.name)
    with pytest.raises(MemoryNotKept):
        await docker.checkpoint(container.name, place / "memory")
    await docker.remove(container.name)
