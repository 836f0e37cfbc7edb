"""What every registry of sandboxes does."""

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from stockade_sandbox.adapters.registry_sqlite import SqliteRegistry
from stockade_sandbox.domain.placement import REQUEST_SECONDS
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Reason, Sandbox, State, Tier
from stockade_sandbox.domain.snapshot import snapshot_of

SANDBOX = Sandbox(
    name="sb-a",
    uid=1_900_000_000,
    state=State.LOST,
    image="stockade/agent:latest",
    limits=Limits(cpu=0.5, memory=1 << 30, disk=1 << 20, pids=16),
    tier=Tier.GVISOR,
    cpus=(0, 1),
    init_pid=42,
    agent="agent-1",
    agent_type="qe-test-generator",
    owner="operator/ada",
    reason=Reason.OUT_OF_MEMORY,
    message="it was all used",
    network_mode=NetworkMode.WHITELISTED,
    gated=True,
    allowed_domains=("x.com", "*.y.org"),
    env={"A": "b"},
    labels={"job": "7"},
    created_at=1_800_000_000.125,
    expires_at=1_800_003_600.0,
    idle_timeout=900.0,
    revision=3,
    warnings=("look out",),
)


@pytest.fixture(params=["memory", "file"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteRegistry]:
    found = SqliteRegistry(":memory:" if request.param == "memory" else str(tmp_path / "registry.sqlite"))
    yield found
    found.close()


async def test_a_sandbox_comes_back_as_it_was(registry: SqliteRegistry) -> None:
    await registry.put(SANDBOX)
    assert await registry.get("sb-a") == SANDBOX
    changed = replace(SANDBOX, state=State.ENDED, revision=4)
    await registry.put(changed)
    assert await registry.all() == [changed]
    assert await registry.get("sb-b") is None


async def test_many_at_once_all_last(registry: SqliteRegistry) -> None:
    many = [replace(SANDBOX, name=f"sb-{n}", created_at=SANDBOX.created_at - n) for n in range(200)]
    gone = asyncio.create_task(registry.put(many[0]))
    waiting = [asyncio.create_task(registry.put(sandbox)) for sandbox in many[1:]]
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*waiting)
    assert await registry.all() == many  # a caller that went away takes nothing back, and holds up nobody


async def test_each_is_told_what_could_not_be_written(registry: SqliteRegistry) -> None:
    registry.close()
    told = await asyncio.gather(*(registry.put(SANDBOX) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in told] == [sqlite3.ProgrammingError] * 3


async def test_the_newest_come_first_and_the_forgotten_not_at_all(registry: SqliteRegistry) -> None:
    others = [replace(SANDBOX, name=f"sb-{n}", created_at=SANDBOX.created_at + n) for n in range(3)]
    await asyncio.gather(*map(registry.put, others))
    assert [sandbox.name for sandbox in await registry.all()] == ["sb-2", "sb-1", "sb-0"]
    await registry.forget(["sb-1", "sb-nobody"])
    assert [sandbox.name for sandbox in await registry.all()] == ["sb-2", "sb-0"]


async def test_requests_are_remembered_by_owner_for_a_day(registry: SqliteRegistry) -> None:
    await registry.remember_request("operator/ada", "r-1", "digest", "sb-a", at=1000.0)
    assert await registry.request("operator/ada", "r-1") == ("digest", "sb-a")
    assert await registry.request("operator/bob", "r-1") is None
    await registry.remember_request("operator/ada", "r-2", "digest", "sb-b", at=1001.0 + REQUEST_SECONDS)
    assert await registry.request("operator/ada", "r-1") is None


async def test_flags_are_off_until_set(registry: SqliteRegistry) -> None:
    assert not await registry.flag("cordoned")
    await registry.set_flag("cordoned", True)
    assert await registry.flag("cordoned")
    await registry.set_flag("cordoned", False)
    assert not await registry.flag("cordoned")


async def test_a_file_outlives_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "registry.sqlite")
    first = SqliteRegistry(path)
    await first.put(SANDBOX)
    second = SqliteRegistry(path)  # the first was killed: nobody closed it
    assert await second.all() == [SANDBOX]
    second.close()
    first.close()


async def test_snapshots_are_remembered(registry: SqliteRegistry) -> None:
    older = snapshot_of(SANDBOX, "sn-a", size=4096, created_at=1.0)
    newer = snapshot_of(SANDBOX, "sn-b", size=8192, created_at=2.0)
    await registry.put_snapshot(older)
    await registry.put_snapshot(newer)
    assert await registry.snapshots() == [newer, older]
    await registry.forget_snapshot("sn-b")
    assert await registry.snapshots() == [older]
