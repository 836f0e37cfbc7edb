"""The process behind `stockade up`: starts the stack in order, keeps it running, and ends it in reverse.

Run as `python -m stockade_cli.stack.supervisor`. Each step is a line of JSON on stdout, until the stack serves:
{"serving": NAME}, then {"ready": true}, or {"failed": LINE}.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime

from stockade_rpckit.settings import load

from stockade_cli.errors import CommandFailed
from stockade_cli.settings import StackSettings
from stockade_cli.stack import firewall
from stockade_cli.stack.directories import claim_sockets, prepare
from stockade_cli.stack.engine import Engine, ensure
from stockade_cli.stack.logfile import BoundedLog
from stockade_cli.stack.process import Process, Program, StartFailed
from stockade_cli.stack.programs import programs, write_gate_configuration
from stockade_cli.stack.record import Lock, ProcessRecord, StackRecord


class Supervisor:
    """The stack's processes and what is known about them."""

    def __init__(self, settings: StackSettings, engine: Engine) -> None:
        self._settings = settings
        self._processes: list[Process] = []
        self._record = StackRecord(
            pid=os.getpid(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            engine=engine.address,
            engine_ours=engine.ours,
            state_dir=str(settings.state_dir),
            operator=settings.person,
        )

    async def run(self) -> int:
        """Start everything, then wait for SIGTERM or SIGINT. Returns the exit code."""
        self._write_record()  # whatever fails from here on: `stockade down` knows whose engine it is
        stopping = asyncio.ensure_future(_stop_signal().wait())
        starting = asyncio.ensure_future(self._start_all())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                report({"ready": True})
                await stopping
        except StartFailed as failure:
            report({"failed": f"{failure.name} did not start: {failure.line}"})
            return 1
        finally:
            starting.cancel()
            await self._stop_all()
        return 0

    async def _start_all(self) -> None:
        self._record.firewall = firewall.apply(self._settings)
        write_gate_configuration(self._settings)
        for program in programs(self._settings, self._record.engine):
            process = self._add(program)
            await process.start(self._settings.start_seconds)
            report({"serving": program.name})

    async def _stop_all(self) -> None:
        for process in reversed(self._processes):
            await process.stop()
        if self._record.firewall:
            firewall.remove(self._record.firewall)

    def _add(self, program: Program) -> Process:
        log = BoundedLog(self._settings.logs / f"{program.name}.log", program.name, self._settings.log_bytes)
        process = Process(program, log, self._write_record)
        self._processes.append(process)
        return process

    def _write_record(self) -> None:
        self._record.processes = [
            ProcessRecord(each.program.name, each.state, each.pid, each.restarts, each.last_exit)
            for each in self._processes
        ]
        try:
            self._record.write(self._settings.run_dir)
        except OSError as error:  # a full run_dir must not end the one who starts its processes again
            print(f"the state of the stack cannot be written: {error}", file=sys.stderr, flush=True)


def report(step: dict[str, object]) -> None:
    """One line to whoever waits for the stack; nobody may be left to read it."""
    try:
        print(json.dumps(step), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> int:
    """Prepare the machine, take the lock, run."""
    settings = load(StackSettings, "STOCKADE_STACK")
    try:
        prepare(settings)
        lock = Lock(settings.run_dir)
        if not lock.acquire():
            report({"failed": f"a stack already runs here, pid {lock.holder()}; end it with: stockade down"})
            return 1
        claim_sockets(settings)
        supervisor = Supervisor(settings, ensure())
        return asyncio.run(supervisor.run())
    except CommandFailed as failure:
        report({"failed": failure.message})
        return 1


def _stop_signal() -> asyncio.Event:
    event = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


if __name__ == "__main__":
    sys.exit(main())
