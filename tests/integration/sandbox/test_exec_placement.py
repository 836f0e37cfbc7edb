"""Each exec is in a cgroup of its own before it starts, and no process of the host is stopped to bring it there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from stockade_sandbox.cgroups import ContainerCgroup, ExecCgroup
from stockade_sandbox.domain.ending import Reason, Stop
from stockade_sandbox.domain.execution import Command, TerminalSize
from stockade_sandbox.supervision import Supervision
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


ABORTS = ("sh", "-c", "kill -9 $$")
LEAVES_ONE = ("sh", "-c", "sleep 30 > /dev/null 2>&1 &")
HOLDS_MEMORY = ("dd", "if=/dev/zero", "of=/workspace/held", "bs=1M", "count=8")


@pytest.mark.parametrize(
    ("program", "timeout_s", "again"),
    [(("true",), 9, True), (ABORTS, 9, True), (LEAVES_ONE, 9, False), (HOLDS_MEMORY, 9, False), (WAIT, 0.2, False)],
    ids=["ends", "is killed from inside", "leaves a process", "leaves memory counted", "is killed by us"],
)
async def test_a_cgroup_serves_once_more_where_it_is_as_good_as_new(
    program: tuple[str, ...], timeout_s: float, again: bool, sandbox: Sandbox
) -> None:
    await sandbox.run("true")  # so that the next child is made at once
    await asyncio.sleep(0.1)
    first = await sandbox.supervision.start(sandbox.name, Command(args=program, timeout_s=timeout_s))
    await first.ended()
    running = [await started(sandbox)]
    assert first.cgroup is not None
    assert (running[0].cgroup is first.cgroup) is again
    await end(running)


async def test_a_service_that_starts_knows_in_which_cgroup_an_exec_is() -> None:
    async with supervised() as sandbox:
        await sandbox.run("true")
        await sandbox.run("true")
        first = await started(sandbox)
        assert first.cgroup is not None
        assert first.cgroup.name != first.id
        await sandbox.supervision.shut_down()
        sandbox.supervision = Supervision(sandbox.keeper)
        await sandbox.supervision.open(sandbox.name, sandbox.directory, doors=False)
        sandbox.supervision.expect(sandbox.name, sandbox.init_pid)
        await sandbox.supervision.attached(sandbox.name, 5)
        found = sandbox.supervision.post(sandbox.name).find(first.id)
        assert found.cgroup is not None
        assert len(found.cgroup.pids()) == 2
        await end([found])


async def test_what_one_used_is_not_told_of_the_next_in_its_cgroup(sandbox: Sandbox) -> None:
    hungry = await sandbox.python("x = b'x' * (64 << 20)")
    frugal = await sandbox.run("true")
    assert hungry.ending.usage.peak_memory_bytes > 64 << 20
    assert frugal.ending.usage.peak_memory_bytes < 16 << 20


async def children(sandbox: Sandbox) -> int:
    """Processes beside its init."""
    return len((await asyncio.to_thread(docker, "top", sandbox.container, "-o", "pid")).splitlines()) - 2


async def end(running: list[Execution]) -> None:
    for execution in running:
        execution.stop(Stop.CANCELLED)
        assert (await execution.ended()).reason is Reason.CANCELLED
