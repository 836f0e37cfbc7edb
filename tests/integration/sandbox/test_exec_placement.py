"""Each exec is in a cgroup of its own before it starts, and no process of the host is stopped to bring it there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from stockade_sandbox.cgroups import ContainerCgroup, ExecCgroup
from stockade_sandbox.domain.ending import Reason, Stop
from stockade_sandbox.domain.execution import Command, TerminalSize
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.prepared import BREATH_S

from support.supervised import Sandbox, docker, supervised

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("engine"), pytest.mark.asyncio(loop_scope="module")]

WAIT = ("sh", "-c", "sleep 30 & echo started; wait")
"""Runs on, in two processes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(engine: object) -> AsyncIterator[Sandbox]:
    async with supervised() as running:
        yield running


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that the host had to move, as the sandbox counts."""
    found: list[int] = []
    move = ContainerCgroup.move

    def noted(self: ContainerCgroup, inner_pid: int, cgroup: ExecCgroup) -> None:
        found.append(inner_pid)
        move(self, inner_pid, cgroup)

    monkeypatch.setattr(ContainerCgroup, "move", noted)
    return found


async def started(sandbox: Sandbox, **options: object) -> Execution:
    """One that has said that it runs."""
    execution = await sandbox.supervision.start(sandbox.name, Command(args=WAIT, **options))  # type: ignore[arg-type]
    await anext(execution.read())
    return execution


async def one_after_another(sandbox: Sandbox) -> list[Execution]:
    return [await started(sandbox) for _ in range(3)]


async def side_by_side(sandbox: Sandbox) -> list[Execution]:
    return await asyncio.gather(*(started(sandbox) for _ in range(5)))


async def with_a_terminal(sandbox: Sandbox) -> list[Execution]:
    return [await started(sandbox, terminal=TerminalSize(24, 80))]


async def after_its_child_was_killed(sandbox: Sandbox) -> list[Execution]:
    await sandbox.run("sh", "-c", "kill -9 -1")
    return [await started(sandbox)]


@pytest.mark.parametrize("start", [one_after_another, side_by_side, with_a_terminal, after_its_child_was_killed])
async def test_an_exec_enters_its_cgroup_by_itself(
    start: Callable[[Sandbox], Awaitable[list[Execution]]], sandbox: Sandbox, moved: list[int]
) -> None:
    running = await start(sandbox)
    assert all(len(execution.cgroup.pids()) == 2 for execution in running if execution.cgroup)
    await end(running)
    assert moved == []


async def test_one_that_does_not_enter_is_moved(
    sandbox: Sandbox, moved: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def leading_nowhere(_self: ExecCgroup) -> Iterator[list[int]]:
        with open("/dev/null", "wb") as nowhere:
            yield [nowhere.fileno()]

    monkeypatch.setattr(ExecCgroup, "entrances", leading_nowhere)
    running = await side_by_side(sandbox)
    assert moved
    assert all(len(execution.cgroup.pids()) == 2 for execution in running if execution.cgroup)
    await end(running)


async def test_the_next_child_waits_for_others_after_a_first_exec_and_not_after_a_second(sandbox: Sandbox) -> None:
    await asyncio.sleep(BREATH_S + 0.1)  # since the execs of other tests
    await sandbox.run("true")
    await asyncio.sleep(0.3)
    assert await children(sandbox) == 0
    await sandbox.run("true")
    await asyncio.sleep(0.3)
    assert await children(sandbox) == 1
    await asyncio.sleep(BREATH_S + 0.1)
    await sandbox.run("true")
    await asyncio.sleep(0.3)
    assert await children(sandbox) == 0
    await asyncio.sleep(BREATH_S)
    assert await children(sandbox) == 1


async def children(sandbox: Sandbox) -> int:
    """Processes beside its init."""
    return len((await asyncio.to_thread(docker, "top", sandbox.container, "-o", "pid")).splitlines()) - 2


async def end(running: list[Execution]) -> None:
    for execution in running:
        execution.stop(Stop.CANCELLED)
        assert (await execution.ended()).reason is Reason.CANCELLED
