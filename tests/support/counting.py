"""What goes on while something is killed: a program that counts in a sandbox, and callers that come and go."""

import contextlib

import grpc
from stockade.sandbox.v1 import exec_service_pb2

from support.sandbox_service import Caller

COUNT = "i=0; while :; do echo $i; i=$((i + 1)); sleep 0.05; done"


class Counting:
    """A program that counts, whose caller comes again after each restart and misses no number."""

    def __init__(self, caller: Caller, sandbox: str) -> None:
        start = {
            "sandbox": sandbox,
            "command": {"args": ("sh", "-c", COUNT), "timeout": {"seconds": 3600}},
            "detach_on_cancel": True,
        }
        call = caller.execs.Exec(iter([exec_service_pb2.ExecRequest(start=start)]))
        self._attach = {"sandbox": sandbox, "exec": next(call).started.exec}
        self._seen = b""
        call.cancel()

    def read_on(self, caller: Caller) -> None:
        """Reads from where it left off until a new number has come; all numbers so far come one after another."""
        attach = {**self._attach, "offset": len(self._seen)}
        call = caller.execs.AttachExec(iter([exec_service_pb2.AttachExecRequest(attach=attach)]), timeout=20)
        before = len(self._seen)
        for event in call:
            assert not event.HasField("gap"), event
            assert not event.HasField("ended"), event
            self._seen += event.stdout.data
            if self._seen[before:].count(b"\n") > 1:
                break
        call.cancel()
        numbers = [int(line) for line in self._seen.splitlines()[:-1]]
        assert numbers == list(range(len(numbers)))


def churn(caller: Caller) -> None:
    """Makes and deletes sandboxes until the first refusal."""
    with contextlib.suppress(grpc.RpcError):
        while True:
            caller.delete(caller.create().name)
