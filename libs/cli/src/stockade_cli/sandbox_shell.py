"""`stockade sandbox shell`: a terminal in a sandbox."""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

import click
from stockade.sandbox.v1 import exec_service_pb2
from stockade_agent.sandbox import AsyncSandbox, Ending

from stockade_cli.connection import connected, operator_settings
from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.streams import exit_code, merged, run_joined, sink, stdin_inputs, stdout_bytes


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("name")
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
def shell(name: str, command: tuple[str, ...]) -> None:
    """Open a terminal in sandbox NAME, running sh or COMMAND."""
    command = command[1:] if command[:1] == ("--",) else command
    if not sys.stdin.isatty():
        raise CommandFailed("a shell needs a terminal; without one: stockade sandbox exec NAME -- COMMAND", Exit.USAGE)
    program = exec_service_pb2.Command(args=command or ("sh",), env=_environment(), terminal=_size())
    with _raw():
        ending = asyncio.run(_run(name, program))
    sys.exit(exit_code(ending))


async def _run(name: str, program: exec_service_pb2.Command) -> Ending:
    async with connected(operator_settings()) as stockade:
        out = sink(stdout_bytes())
        return await run_joined(
            AsyncSandbox.existing(stockade, name), program, out, out, merged(stdin_inputs(), _resizes())
        )


async def _resizes() -> AsyncIterator[exec_service_pb2.ExecInput]:
    """The terminal's new size, each time it changes."""
    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    while True:
        await changed.wait()
        changed.clear()
        yield exec_service_pb2.ExecInput(resize=_size())


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the program, Ctrl-C too; the terminal is as before afterwards."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _size() -> exec_service_pb2.TerminalSize:
    columns, rows = os.get_terminal_size(0)
    return exec_service_pb2.TerminalSize(rows=rows or 24, columns=columns or 80)


def _environment() -> dict[str, str]:
    return {"TERM": os.environ.get("TERM", "xterm")}
