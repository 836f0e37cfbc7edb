"""`stockade run`: one command in a new sandbox, and what became of it."""

import io
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from opentelemetry import trace
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2
from stockade_agent.errors import StockadeError
from stockade_agent.sandbox import AsyncSandbox, Ending
from stockade_rpckit import tracing

from stockade_cli.connection import connected, current_settings, export_spans, operator_settings
from stockade_cli.durations import Duration, show_bytes
from stockade_cli.errors import CommandFailed, Exit, failed
from stockade_cli.output import json_option, print_json, say
from stockade_cli.refusals import Refusal, refusals
from stockade_cli.sandbox_options import agent_request, sandbox_options
from stockade_cli.settings import StackSettings
from stockade_cli.streams import (
    Sink,
    ending_document,
    exit_code,
    run_interruptible,
    run_joined,
    sink,
    stderr_bytes,
    stdout_bytes,
)

OWNERLESS = timedelta(minutes=1)
"""How long its sandbox stays when this command was killed: its stream ends with it, and nothing runs there then."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    sandbox: sandbox_pb2.Sandbox
    usage: sandbox_pb2.SandboxUsage
    ending: Ending
    refusals: list[Refusal]
    trace_id: str


@click.command(context_settings={"allow_interspersed_args": False})
@sandbox_options
@click.option("--upload", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Copy DIR's content to /workspace first.")  # fmt: skip
@click.option("--timeout", type=Duration(), metavar="D", help="End the command after this long, e.g. 90s or 5m.")
@json_option
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...")
def run(command: tuple[str, ...], upload: Path | None, timeout: timedelta | None, as_json: bool, **ask: Any) -> None:
    """Run one command in a new sandbox, and end with its exit code.

    Its stdin, stdout and stderr are this command's own. Afterwards stderr tells what it used and what it was refused,
    and the sandbox is deleted. Without a running stack, one is started. Ctrl-C ends the command and the sandbox.

    Exit codes of our own: 124 timeout, 125 the command was never started, 130 Ctrl-C, 137 killed at a limit.
    """
    if not current_settings().address:
        _ensure_stack(current_settings())
    settings = operator_settings()
    export_spans(settings, "stockade-cli")
    kept = io.BytesIO(), io.BytesIO()
    out, err = map(sink, kept if as_json else (stdout_bytes(), stderr_bytes()))
    program = exec_service_pb2.Command(args=command, timeout=timeout)
    try:
        outcome = run_interruptible(_run(settings, ask, program, upload, out, err))
    except StockadeError as error:
        raise CommandFailed(failed(error).message, Exit.NOT_RUN) from error
    finally:
        tracing.shutdown()
    if as_json:
        print_json(_document(outcome, *kept))
    else:
        _tell(outcome)
    sys.exit(exit_code(outcome.ending))


async def _run(
    settings: StackSettings,
    ask: dict[str, Any],
    program: exec_service_pb2.Command,
    upload: Path | None,
    out: Sink,
    err: Sink,
) -> Outcome:
    with tracing.tracer().start_as_current_span("stockade.run") as span:
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        async with connected(settings) as stockade:
            sandbox = AsyncSandbox(stockade, idle_timeout=OWNERLESS, **agent_request(settings, ask))
            created = await sandbox.create()
            for warning in created.warnings:
                say(f"stockade: {warning}")
            try:
                if upload is not None:
                    await sandbox.upload(upload)
                ending = await run_joined(sandbox, program, out, err)
            finally:
                usage = await sandbox.delete()
            return Outcome(created, usage, ending, await refusals(stockade, sandbox.name), trace_id)


def _ensure_stack(settings: StackSettings) -> None:
    from stockade_cli.stack.commands import start
    from stockade_cli.stack.record import Lock

    if Lock(settings.run_dir).holder() is None:
        say("stockade: no stack runs; starting one")
        start(settings)


def _tell(outcome: Outcome) -> None:
    sandbox, usage, ending = outcome.sandbox, outcome.usage, outcome.ending
    say(f"stockade: {sandbox.name} ran {sandbox.agent} under profile {sandbox.profile}: {ending.detail}")
    say(
        f"  used     cpu {ending.cpu.total_seconds():.2f} s of {ending.wall.total_seconds():.2f} s, "
        f"memory {show_bytes(usage.memory.peak_bytes)} of {show_bytes(usage.memory.limit_bytes)}, "
        f"disk {show_bytes(usage.disk.used_bytes)} of {show_bytes(usage.disk.limit_bytes)}"
    )
    for refusal in outcome.refusals:
        say(f"  refused  {refusal}")
    if not outcome.refusals:
        say("  refused  nothing")
    say(f"  trace    {outcome.trace_id}   (stockade trace show {outcome.trace_id})")


def _document(outcome: Outcome, *kept: io.BytesIO) -> dict[str, Any]:
    return {
        "sandbox": outcome.sandbox,
        "usage": outcome.usage,
        **ending_document(outcome.ending, *kept),
        "refusals": [asdict(refusal) for refusal in outcome.refusals],
        "trace_id": outcome.trace_id,
    }
