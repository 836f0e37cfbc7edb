"""`stockade sandbox`: create, list, use and stop sandboxes."""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from google.protobuf.duration_pb2 import Duration as DurationMessage
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2, sandbox_service_pb2, sandbox_service_pb2_grpc
from stockade_agent.errors import StockadeError
from stockade_agent.sandbox import AsyncSandbox, Ending

from stockade_cli.connection import connected, followed, operator_settings, stub
from stockade_cli.durations import Duration, show_age, show_bytes
from stockade_cli.errors import CommandFailed, Exit, failed
from stockade_cli.names import short_name
from stockade_cli.output import json_option, print_fields, print_json, print_table, say
from stockade_cli.profiles import profiles
from stockade_cli.sandbox_files import cp
from stockade_cli.sandbox_options import agent_request, pairs, sandbox_options
from stockade_cli.sandbox_shell import shell
from stockade_cli.sandbox_snapshots import forget, fork, restore, snapshot, snapshots
from stockade_cli.sandbox_top import top
from stockade_cli.streams import (
    ending_document,
    exit_code,
    run_interruptible,
    run_joined,
    sink,
    stderr_bytes,
    stdout_bytes,
)

SERVICE = sandbox_service_pb2_grpc.SandboxServiceStub


@click.group()
def sandbox() -> None:
    """Create, list, use and stop sandboxes."""


for command in (cp, shell, top, snapshot, snapshots, restore, fork, forget, profiles):
    sandbox.add_command(command)


@sandbox.command()
@sandbox_options
@click.option("--lifetime", type=Duration(), metavar="D", help="End it after this long, e.g. 1h.")
@json_option
def create(as_json: bool, **ask: Any) -> None:
    """Create a sandbox and print its name. It lives until it is stopped or its lifetime is over."""
    settings = operator_settings()

    async def work() -> sandbox_pb2.Sandbox:
        async with connected(settings) as stockade:
            return await AsyncSandbox(stockade, **agent_request(settings, ask)).create()

    created = run_interruptible(work())
    for warning in created.warnings:
        say(f"stockade: {warning}")
    print_json(created) if as_json else click.echo(created.name)


@sandbox.command("list")
@click.option("--all", "ended_too", is_flag=True, help="Those that have ended, too.")
@click.option("--agent", default="", help="Of this agent only.")
@json_option
def list_sandboxes(ended_too: bool, agent: str, as_json: bool) -> None:
    """List the sandboxes that live."""
    found = list(_pages(agent, ended_too))
    if as_json:
        print_json(found)
    else:
        print_table(("NAME", "AGENT", "TYPE", "STATE", "NETWORK", "TIER", "NODE", "AGE"), map(_row, found))


@sandbox.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one sandbox: what it may use, and how it is."""
    with stub(SERVICE, "sandbox") as service:
        found = service.GetSandbox(sandbox_service_pb2.GetSandboxRequest(name=name)).sandbox
    print_json(found) if as_json else print_fields(_fields(found))


@sandbox.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("--env", multiple=True, metavar="K=V", help="A variable of the command's environment.")
@click.option("--cwd", default="", metavar="DIR", help="Its working directory.")
@click.option("--timeout", type=Duration(), metavar="D", help="End it after this long.")
@click.argument("name")
@json_option
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...")
def execute(
    name: str, command: tuple[str, ...], env: tuple[str, ...], cwd: str, timeout: timedelta | None, as_json: bool
) -> None:
    """Run one more command in sandbox NAME, and end with its exit code."""
    command = command[1:] if command[0] == "--" else command
    program = exec_service_pb2.Command(args=command, env=pairs(env), cwd=cwd, timeout=timeout)
    settings = operator_settings()
    kept = io.BytesIO(), io.BytesIO()
    out, err = map(sink, kept if as_json else (stdout_bytes(), stderr_bytes()))

    async def work() -> Ending:
        async with connected(settings) as stockade:
            return await run_joined(AsyncSandbox.existing(stockade, name), program, out, err)

    try:
        ending = run_interruptible(work())
    except StockadeError as error:
        if error.reason != "PROGRAM_NOT_STARTED":
            raise
        raise CommandFailed(failed(error).message, Exit.NOT_RUN) from error
    if as_json:
        print_json(ending_document(ending, *kept))
    elif ending.reason != "EXITED":
        say(f"stockade: {ending.detail}")
    sys.exit(exit_code(ending))


@sandbox.command()
@click.argument("names", nargs=-1, required=True)
@json_option
def stop(names: tuple[str, ...], as_json: bool) -> None:
    """End sandboxes, and everything in them."""
    with stub(SERVICE, "sandbox") as service:
        ended = [service.DeleteSandbox(sandbox_service_pb2.DeleteSandboxRequest(name=name)) for name in names]
    if as_json:
        print_json(ended)
    for answer in ended if not as_json else ():
        click.echo(answer.sandbox.name)


@sandbox.command()
@click.argument("name")
@json_option
def pause(name: str, as_json: bool) -> None:
    """Freeze a sandbox: it keeps its memory and uses no processor. Its lifetime goes on."""
    with stub(SERVICE, "sandbox") as service:
        paused = service.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=name)).sandbox
    print_json(paused) if as_json else click.echo(paused.name)


@sandbox.command()
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """Let a frozen sandbox run on."""
    with stub(SERVICE, "sandbox") as service:
        resumed = service.ResumeSandbox(sandbox_service_pb2.ResumeSandboxRequest(name=name)).sandbox
    print_json(resumed) if as_json else click.echo(resumed.name)


@sandbox.command()
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Only the last so many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come.")
@click.argument("name")
@json_option
def logs(name: str, tail: int, follow: bool, as_json: bool) -> None:
    """Print what the sandbox's own process wrote."""
    request = sandbox_service_pb2.GetSandboxLogsRequest(name=name, tail=tail, follow=follow)
    with stub(SERVICE, "sandbox") as service:
        for line in followed(service.GetSandboxLogs(request)):
            if as_json:
                print_json(line)
                continue
            is_error = line.stream == sandbox_service_pb2.LOG_STREAM_STDERR
            sink(stderr_bytes() if is_error else stdout_bytes())(line.data)


@sandbox.command()
@click.option("--follow", "-f", is_flag=True, help="Go on, once a second.")
@click.argument("name")
@json_option
def stats(name: str, follow: bool, as_json: bool) -> None:
    """Show what the sandbox has used."""
    with stub(SERVICE, "sandbox") as service:
        for usage in _usages(service, name, follow):
            print_json(usage) if as_json else print_fields(_usage_fields(usage))


def _usages(service: Any, name: str, follow: bool) -> Iterator[sandbox_pb2.SandboxUsage]:
    if not follow:
        yield service.GetSandboxUsage(sandbox_service_pb2.GetSandboxUsageRequest(name=name)).usage
        return
    for message in followed(service.StreamSandboxUsage(sandbox_service_pb2.StreamSandboxUsageRequest(name=name))):
        yield message.usage


def _pages(agent: str, ended_too: bool) -> Iterator[sandbox_pb2.Sandbox]:
    states = sandbox_pb2.SandboxState.keys()[1:] if ended_too else []
    request = sandbox_service_pb2.ListSandboxesRequest(
        filter=sandbox_service_pb2.SandboxFilter(agent=agent, states=states), page_size=1000
    )
    with stub(SERVICE, "sandbox") as service:
        while True:
            page = service.ListSandboxes(request)
            yield from page.sandboxes
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _row(each: sandbox_pb2.Sandbox) -> tuple[str, ...]:
    return (
        each.name,
        each.agent,
        each.agent_type,
        short_name(sandbox_pb2.SandboxState, each.state),
        short_name(sandbox_pb2.NetworkMode, each.network_mode),
        short_name(sandbox_pb2.Tier, each.tier),
        each.node,
        show_age(datetime.now(UTC) - each.create_time.ToDatetime(UTC)),
    )


def _fields(each: sandbox_pb2.Sandbox) -> dict[str, str]:
    limits = each.limits
    sizes = f"memory {show_bytes(limits.memory_bytes)}, disk {show_bytes(limits.disk_bytes)}"
    fields = {
        "name": each.name,
        "agent": f"{each.agent}, of type {each.agent_type}, under profile {each.profile}",
        "image": each.image,
        "state": f"{short_name(sandbox_pb2.SandboxState, each.state)} {each.state_message}".rstrip(),
        "limits": f"cpu {limits.cpu:g}, {sizes}, {limits.pids} processes",
        "tier": short_name(sandbox_pb2.Tier, each.tier),
        "node": each.node,
        "network": short_name(sandbox_pb2.NetworkMode, each.network_mode)
        + (", behind the gate" if each.gated else ", NO gate in front"),
        "narrowed to": ", ".join(each.allowed_domains),
        "created": each.create_time.ToDatetime(UTC).isoformat(timespec="seconds"),
        "expires": each.expire_time.ToDatetime(UTC).isoformat(timespec="seconds"),
        "trace": each.trace_id,
        "warnings": "; ".join(each.warnings),
    }
    return {name: value for name, value in fields.items() if value}


def _usage_fields(usage: sandbox_pb2.SandboxUsage) -> dict[str, str]:
    return {
        "cpu": f"{_seconds(usage.cpu.total):.2f} s, throttled {_seconds(usage.cpu.throttled):.2f} s",
        "memory": f"{show_bytes(usage.memory.used_bytes)}, peak {show_bytes(usage.memory.peak_bytes)} "
        f"of {show_bytes(usage.memory.limit_bytes)}, {usage.memory.oom_kills} OOM kills",
        "processes": f"{usage.pids.used} of {usage.pids.limit}, {usage.pids.refused} refused",
        "disk": f"{show_bytes(usage.disk.used_bytes)} of {show_bytes(usage.disk.limit_bytes)}",
        "network": _network(usage.network) if usage.HasField("network") else "the gate does not tell",
    }


def _network(network: sandbox_pb2.NetworkUsage) -> str:
    requests = f"{network.allowed_requests} requests passed, {network.refused_requests} refused"
    return f"{requests}, {show_bytes(network.sent_bytes)} out, {show_bytes(network.received_bytes)} in"


def _seconds(duration: DurationMessage) -> float:
    return duration.ToTimedelta().total_seconds()
