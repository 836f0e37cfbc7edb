"""Between the messages of ExecService and the domain's values."""

from google.protobuf.timestamp_pb2 import Timestamp
from stockade.sandbox.v1 import exec_service_pb2 as pb

from stockade_sandbox.domain.ending import Ending
from stockade_sandbox.domain.execution import Command, TerminalSize, Usage
from stockade_sandbox.domain.sandbox import Sandbox
from stockade_sandbox.handlers.messages import duration, seconds
from stockade_sandbox.supervision.execution import Execution

DEFAULT_TIMEOUT_S = 3600.0
DEFAULT_OUTPUT_BYTES = 256 * 1024 * 1024


def command(message: pb.Command, sandbox: Sandbox, stdin: bool, most_output: int = DEFAULT_OUTPUT_BYTES) -> Command:
    """The program of a request, with the sandbox's own variables below its."""
    asked = message.max_output_bytes or most_output
    return Command(
        args=tuple(message.args),
        env={**sandbox.env, **message.env},
        cwd=message.cwd,
        stdin=stdin,
        timeout_s=seconds(message.timeout) if message.HasField("timeout") else DEFAULT_TIMEOUT_S,
        max_output_bytes=asked,
        terminal=terminal_size(message.terminal) if message.HasField("terminal") else None,
        limits={_resource(limit.resource): limit.limit for limit in message.limits},
    )


def terminal_size(message: pb.TerminalSize) -> TerminalSize:
    """The size of a terminal."""
    return TerminalSize(message.rows, message.columns)


def started(execution: Execution) -> pb.ExecStarted:
    """Which exec runs."""
    return pb.ExecStarted(exec=execution.id, pid=execution.pid, start_time=_time(execution.start_ns))


def ending(value: Ending) -> pb.Ending:
    """How an exec ended."""
    return pb.Ending(
        reason=f"ENDING_REASON_{value.reason}",
        exit_code=value.exit_code,
        signal=value.signal,
        detail=value.detail,
        output_partial=value.output_partial,
        output_bytes=value.output_bytes,
        usage=_usage(value.usage),
        end_time=_time(value.end_ns),
        seccomp_killed=value.seccomp_killed,
    )


def info(execution: Execution) -> pb.ExecInfo:
    """An exec as listings show it."""
    return pb.ExecInfo(
        sandbox=execution.sandbox,
        exec=execution.id,
        args=execution.command.args,
        state=f"EXEC_STATE_{execution.state}",
        start_time=_time(execution.start_ns),
        ending=ending(execution.ending) if execution.ending is not None else None,
        pid=execution.pid,
        output_offset=execution.output.first,
        output_bytes=execution.output.end,
        terminal=execution.command.terminal is not None,
        traceparent=execution.spans.traceparent,
    )


def _usage(usage: Usage) -> pb.ExecUsage:
    return pb.ExecUsage(
        wall_time=duration(usage.wall_s),
        cpu_time=duration(usage.cpu_s),
        peak_memory_bytes=usage.peak_memory_bytes,
        oom_kills=usage.oom_kills,
        pids_refused=usage.pids_refused,
        processes_left=usage.processes_left,
    )


def _resource(value: int) -> str:
    return pb.ResourceLimit.Resource.Name(value).removeprefix("RESOURCE_").lower()


def _time(nanoseconds: int) -> Timestamp:
    message = Timestamp()
    message.FromNanoseconds(nanoseconds)
    return message
