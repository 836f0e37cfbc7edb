"""`stockade up`, `down` and `status`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields

import click

from stockade_cli.connection import current_settings
from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.output import json_option, print_json, print_table, say, style
from stockade_cli.settings import StackSettings
from stockade_cli.stack.record import Lock, StackRecord


@click.command()
@click.option("--foreground", is_flag=True, help="Stay, and end the stack with Ctrl-C or SIGTERM.")
def up(foreground: bool) -> None:
    """Start the services and the gate, and wait until they serve.

    The processes are kept running until `stockade down`. Logs: <state dir>/logs/<process>.log, JSON lines.
    """
    settings = current_settings()
    if (holder := Lock(settings.run_dir).holder()) is not None:
        raise CommandFailed(f"a stack already runs in {settings.run_dir}, pid {holder}; end it with: stockade down")
    start(settings, foreground=foreground)


def _become_able(verb: str) -> None:
    """Hold the caller to being root, and look where root's programs are: plain `su` leaves them out of PATH."""
    if os.geteuid() != 0:
        raise CommandFailed(f"a stack needs mounts, cgroups and uids of its own: run as root, or: sudo stockade {verb}")
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def start(settings: StackSettings, *, foreground: bool = False) -> None:
    """Start a stack and wait until it serves. Raises CommandFailed with the reason it does not."""
    _become_able("up")
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "stockade_cli.stack.supervisor"],
        env=os.environ | _as_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if foreground else _supervisor_log(settings),
        start_new_session=not foreground,
        text=True,
    )
    _follow(supervisor)
    say(f"stockade: serving in {settings.run_dir}; end it with: stockade down")
    if foreground:
        try:
            supervisor.wait()
        except KeyboardInterrupt:
            supervisor.wait()


def _follow(supervisor: "subprocess.Popen[str]") -> None:
    assert supervisor.stdout is not None
    for line in supervisor.stdout:
        step = json.loads(line)
        if "serving" in step:
            say(f"stockade: {step['serving']} serves")
        elif "failed" in step:
            supervisor.wait()
            raise CommandFailed(step["failed"])
        else:
            return
    raise CommandFailed(f"the supervisor ended with code {supervisor.wait()}; its log says why")


def _supervisor_log(settings: StackSettings) -> int:
    settings.logs.mkdir(parents=True, exist_ok=True)
    return os.open(settings.logs / "supervisor.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)


def _as_environment(settings: StackSettings) -> dict[str, str]:
    texts = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {
        f"STOCKADE_STACK_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in texts.items()
    }


@click.command()
def down() -> None:
    """Stop everything and leave nothing behind.

    Sandboxes are deleted, the processes end, and sockets, mounts, firewall rules and an engine that `stockade up` had
    started are taken away. The state directory (policies, cache, audit record, logs) stays.
    """
    from stockade_cli.stack.teardown import take_down

    _become_able("down")
    for line in take_down(current_settings()):
        say(f"stockade: {line}")


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Say what runs and whether it serves.

    Exits 0 when all serve, 1 when something does not, 3 when no stack runs.
    """
    settings = current_settings()
    record = StackRecord.read(settings.run_dir)
    running = Lock(settings.run_dir).holder() is not None
    if record is None or not running:
        if as_json:
            print_json({"running": False, "processes": []})
            sys.exit(Exit.UNREACHABLE)
        raise CommandFailed(f"no stack runs in {settings.run_dir}; start one with: stockade up", Exit.UNREACHABLE)
    if as_json:
        print_json({"running": True, **asdict(record)})
    else:
        _show(record)
    if not record.processes or any(process.state != "serving" for process in record.processes):
        sys.exit(Exit.FAILED)


def _show(record: StackRecord) -> None:
    print_table(("PROCESS", "STATE", "PID", "RESTARTS"), _rows(record))
    click.echo(f"engine {record.engine}   up since {record.started}   logs {record.state_dir}/logs")


def _rows(record: StackRecord) -> Iterator[tuple[str, str, int, int]]:
    for process in record.processes:
        colour = "green" if process.state == "serving" else "red"
        yield process.name, style(process.state, fg=colour), process.pid, process.restarts
