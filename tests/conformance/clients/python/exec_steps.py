"""Steps that run programs."""

import hashlib
import queue
from collections.abc import Iterator
from typing import Any

import grpc
from context import Context, polled
from google.protobuf.duration_pb2 import Duration
from stockade.sandbox.v1 import exec_service_pb2 as pb
from stockade.sandbox.v1 import exec_service_pb2_grpc

TEXT_BYTES = 65536
"""Longer output is told by its digest alone."""


def service(context: Context) -> Any:
    return context.stub(exec_service_pb2_grpc.ExecServiceStub, "sandbox")


def execute(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Runs a program with the given stdin, and sends the given signal when it first writes."""
    requests = Requests(context, given)
    for text in given.get("stdin", []):
        requests.send(pb.ExecInput(stdin=text.encode()))
    if "signal" not in given:
        requests.send(pb.ExecInput(close_stdin=True))
        requests.end()
    output: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    for event in service(context).Exec(iter(requests)):
        kind = event.WhichOneof("event")
        if kind in output:
            if "signal" in given and not output["stdout"]:
                requests.send(pb.ExecInput(signal=pb.ExecSignal(signal=given["signal"])))
            output[kind] += getattr(event, kind).data
        elif kind == "ended":
            requests.end()
            return told(output["stdout"], output["stderr"], event.ended)
    raise AssertionError("the stream ended without `ended`")


def run(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    request = pb.RunCommandRequest(
        sandbox=context.sandbox,
        command=command(given),
        stdin="".join(given.get("stdin", [])).encode() or b"x" * given.get("stdin_bytes", 0),
    )
    deadline = given["deadline_ms"] / 1000 if "deadline_ms" in given else None
    answer = service(context).RunCommand(request, timeout=deadline)
    return told(answer.stdout, answer.stderr, answer.ending)


def attach(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Starts a program, goes away after its first output, and comes back for the rest."""
    requests = Requests(context, given, no_stdin=True, detach_on_cancel=True)
    call = service(context).Exec(iter(requests))
    exec_id = next(call).started.exec
    before = next(call).stdout.data
    call.cancel()
    requests.end()
    back = pb.ExecAttach(sandbox=context.sandbox, exec=exec_id, offset=len(before))
    after, ending = b"", pb.Ending()
    for event in service(context).AttachExec(iter([pb.AttachExecRequest(attach=back)])):
        after += event.stdout.data
        ending = event.ended
    return {"before": before.decode(), "after": after.decode(), "ending": pb.EndingReason.Name(ending.reason)}


def cancel(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Goes away from a program that runs; it is killed."""
    requests = Requests(context, given, no_stdin=True)
    call = service(context).Exec(iter(requests))
    started = next(call).started
    call.cancel()
    requests.end()
    code = 0
    try:
        next(call)
    except grpc.RpcError as error:
        code = error.code().value[0]
    request = pb.GetExecRequest(sandbox=context.sandbox, exec=started.exec)
    reads = polled(lambda: service(context).GetExec(request).exec)
    ended = next(found for found in reads if found.state == pb.EXEC_STATE_ENDED)
    return {"code": code, "ending": pb.EndingReason.Name(ended.ending.reason)}


def command(given: dict[str, Any]) -> pb.Command:
    milliseconds = given.get("timeout_ms")
    return pb.Command(
        args=given["args"],
        env=given.get("env", {}),
        timeout=None if milliseconds is None else duration(milliseconds),
        max_output_bytes=given.get("max_output_bytes", 0),
    )


def duration(milliseconds: int) -> Duration:
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def told(stdout: bytes, stderr: bytes, ending: pb.Ending) -> dict[str, Any]:
    result = {
        "stdout_bytes": len(stdout),
        "stdout_sha256": hashlib.sha256(stdout).hexdigest(),
        "stderr": stderr.decode(),
        "ending": pb.EndingReason.Name(ending.reason),
        "exit_code": ending.exit_code if ending.HasField("exit_code") else None,
        "signal": ending.signal if ending.HasField("signal") else None,
        "partial": ending.output_partial,
    }
    return result | ({"stdout": stdout.decode()} if len(stdout) <= TEXT_BYTES else {})


class Requests:
    """The requests of one Exec: `start`, then inputs as they come, until `end`."""

    def __init__(self, context: Context, given: dict[str, Any], **options: Any) -> None:
        start = pb.ExecStart(sandbox=context.sandbox, command=command(given), **options)
        self._queue: queue.SimpleQueue[pb.ExecRequest | None] = queue.SimpleQueue()
        self._queue.put(pb.ExecRequest(start=start))

    def send(self, input_: pb.ExecInput) -> None:
        self._queue.put(pb.ExecRequest(input=input_))

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[pb.ExecRequest]:
        return iter(self._queue.get, None)
