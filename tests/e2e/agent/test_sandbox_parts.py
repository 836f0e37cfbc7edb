"""`files`, `commands` and `pty` of a sandbox, blocking and awaiting, against a stack."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from stockade_agent import AsyncSandbox, AsyncStockade, NotFound, Sandbox, Stockade, StockadeError

from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


@pytest.fixture(scope="module")
def sandbox(stack: Stack) -> Iterator[Sandbox]:
    with Stockade.connect(stack.run_dir) as stockade, stockade.sandbox("parts-1") as made:
        yield made


@pytest.fixture
async def awaited(stack: Stack, sandbox: Sandbox) -> AsyncIterator[AsyncSandbox]:
    async with AsyncStockade.connect(stack.run_dir) as stockade:
        yield AsyncSandbox.existing(stockade, sandbox.name)


def test_files(sandbox: Sandbox) -> None:
    files, content = sandbox.files, bytes(range(256)) * 8192
    written = files.write("/workspace/a/b.bin", content, mode=0o640, parents=True)
    assert (written.kind, written.size_bytes, written.mode) == ("FILE", len(content), 0o640)
    assert files.read("/workspace/a/b.bin") == content
    assert files.read("/workspace/a/b.bin", offset=256, length=3) == b"\x00\x01\x02"
    files.move("/workspace/a/b.bin", "/workspace/a/c.bin")
    files.write("/workspace/a/c.bin", b"!", append=True)
    assert [(each.path, each.size_bytes) for each in files.list("/workspace/a")] == [("c.bin", len(content) + 1)]
    files.remove("/workspace/a", recursive=True)
    with pytest.raises(NotFound):
        files.stat("/workspace/a")


async def test_watch_yields_what_changes(awaited: AsyncSandbox) -> None:
    async with aclosing(awaited.files.watch("/tmp")) as changes:
        first = asyncio.create_task(anext(changes))
        number = 0
        while not first.done():  # until the watch stands, nobody sees a change
            number += 1
            await awaited.files.write(f"/tmp/seen-{number}", b"x")
            await asyncio.wait([first], timeout=0.2)
    assert (await first).path == f"seen-{number}"
    assert (await first).kind == "CREATED"


def test_a_process_takes_input_and_signals(sandbox: Sandbox) -> None:
    with sandbox.commands.start("sh", "-c", "read line; echo got $line; trap 'echo caught; exit 3' USR1; "
                                "echo ready; while :; do sleep 0.05; done") as process:  # fmt: skip
        process.write(b"this\n")
        said = b""
        for stream, data in process.output():
            assert stream == "stdout"
            said += data
            if said.endswith(b"ready\n"):
                process.signal(signal.SIGUSR1)
    assert said == b"got this\nready\ncaught\n"
    assert process.ending is not None
    assert process.ending.exit_code == 3


def test_a_detached_process_is_listed_and_attached_to(sandbox: Sandbox) -> None:
    process = sandbox.commands.start("sh", "-c", "echo one; sleep 0.5; echo two", detach=True)
    process.let_go()
    assert process.exec in {each.exec for each in sandbox.commands.list()}
    result = sandbox.commands.attach(process.exec).wait()
    assert (result.stdout, result.ending.ok) == (b"one\ntwo\n", True)
    assert sandbox.commands.attach(process.exec, offset=4).wait().stdout == b"two\n"


def test_leaving_the_block_ends_the_process(sandbox: Sandbox) -> None:
    with sandbox.commands.start("sleep", "98") as process:
        pass
    ending = sandbox.commands.attach(process.exec).wait().ending
    assert ending.reason == "CANCELLED"


def test_a_terminal_has_its_size(sandbox: Sandbox) -> None:
    with sandbox.pty.open(rows=33, columns=99) as terminal:
        terminal.write(b"stty size\n")
        said = b""
        for _, data in terminal.output():
            said += data
            if b"33 99" in said and b"40 100" not in said:
                terminal.resize(40, 100)
                terminal.write(b"stty size; exit 7\n")
    assert b"40 100" in said
    assert terminal.ending is not None
    assert terminal.ending.exit_code == 7


def test_what_cannot_be_started_says_why(sandbox: Sandbox) -> None:
    with pytest.raises(StockadeError) as caught:
        sandbox.commands.start("/no/such/program")
    assert "/no/such/program" in caught.value.message


def test_no_such_exec(sandbox: Sandbox) -> None:
    with pytest.raises(NotFound) as caught:
        sandbox.commands.attach("ex-nobody")
    assert caught.value.reason == "EXEC_NOT_FOUND"
