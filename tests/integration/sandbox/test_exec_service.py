"""ExecService as its callers see it: streams over gRPC, cancellation, reattachment, and what is refused."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import exec_service_pb2 as pb
from stockade_rpckit.errors import details_of

from support.sandbox_service import Caller, ServedSandboxes

pytestmark = pytest.mark.docker

EXITED, CANCELLED, TIMEOUT = (
    pb.ENDING_REASON_EXITED,
    pb.ENDING_REASON_CANCELLED,
    pb.ENDING_REASON_TIMEOUT,
)


@pytest.fixture(scope="module")
def sandbox(served: ServedSandboxes) -> Iterator[str]:
    ada = served.operator()
    name = ada.create(agent="runner", agent_type="qe-test-writer", env={"FLAVOUR": "plain"}).name
    yield name
    ada.delete(name)


class Session:
    """One Exec call, spoken to step by step."""

    def __init__(self, caller: Caller, sandbox: str, *args: str, **start: Any) -> None:
        self._said: queue.Queue[pb.ExecRequest | None] = queue.Queue()
        self._said.put(pb.ExecRequest(start={"sandbox": sandbox, "command": {"args": args}, **start}))
        self.call = caller.execs.Exec(iter(self._said.get, None))

    def say(self, **given: Any) -> None:
        self._said.put(pb.ExecRequest(input=given))

    def hang_up(self) -> None:
        self._said.put(None)

    def next(self) -> pb.ExecResponse:
        return next(self.call)

    def rest(self) -> tuple[bytes, bytes, pb.Ending]:
        """All that is still to come: both streams and the ending."""
        out, err = b"", b""
        for event in self.call:
            out += event.stdout.data
            err += event.stderr.data
            if event.HasField("ended"):
                return out, err, event.ended
        raise AssertionError("no ending came")


def run(*args: str, **fields: Any) -> pb.Command:
    return pb.Command(args=args, **fields)


def test_a_program_is_spoken_with(ada: Caller, sandbox: str) -> None:
    session = Session(ada, sandbox, "sh", "-c", "read x; echo got $x; echo oops >&2; exit 7")
    started = session.next().started
    assert started.exec.startswith("ex-")
    assert started.pid > 1
    session.say(stdin=b"this\n")
    out, err, ending = session.rest()
    assert (out, err) == (b"got this\n", b"oops\n")
    assert (ending.reason, ending.exit_code, ending.HasField("signal")) == (EXITED, 7, False)
    assert ending.usage.wall_time.ToNanoseconds() > 0
    assert ending.output_bytes == 14


def test_standard_input_ends_with_the_callers_stream(ada: Caller, sandbox: str) -> None:
    session = Session(ada, sandbox, "cat")
    session.say(stdin=b"all")
    session.hang_up()
    out, _err, ending = session.rest()
    assert (out, ending.exit_code) == (b"all", 0)


def test_a_small_program_in_one_call(ada: Caller, sandbox: str) -> None:
    answer = ada.execs.RunCommand(
        pb.RunCommandRequest(
            sandbox=sandbox, command=run("sh", "-c", "cat; echo $FLAVOUR $TASTE", env={"TASTE": "salt"}), stdin=b"in "
        )
    )
    assert (answer.stdout, answer.stderr) == (b"in plain salt\n", b"")
    assert (answer.ending.reason, answer.ending.exit_code) == (EXITED, 0)


def test_the_trace_reaches_the_program(served: ServedSandboxes, sandbox: str) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = served.operator().execs.RunCommand(
        pb.RunCommandRequest(sandbox=sandbox, command=run("printenv", "TRACEPARENT")),
        metadata=(("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),),
    )
    version, trace, parent, _flags = answer.stdout.decode().strip().split("-")
    assert (version, trace) == ("00", trace_id)
    assert parent != "00f067aa0ba902b7", "it hangs on the process's own span"


def test_a_callers_cancellation_kills_the_tree(ada: Caller, sandbox: str) -> None:
    session = Session(ada, sandbox, "sh", "-c", "setsid sleep 61 & sleep 61")
    exec_id = session.next().started.exec
    session.call.cancel()
    ending = _ending(ada, sandbox, exec_id)
    assert (ending.reason, ending.HasField("exit_code"), ending.output_partial) == (CANCELLED, False, True)
    assert b"sleep 61" not in ada.run(sandbox, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout


def test_an_exec_that_may_outlive_its_caller_is_met_again(ada: Caller, sandbox: str) -> None:
    session = Session(ada, sandbox, "sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.3; done", detach_on_cancel=True)
    exec_id = session.next().started.exec
    first = session.next().stdout
    session.call.cancel()
    attached = ada.execs.AttachExec(
        iter([pb.AttachExecRequest(attach={"sandbox": sandbox, "exec": exec_id, "offset": len(first.data)})])
    )
    events = list(attached)
    assert events[0].started.exec == exec_id
    assert first.data + b"".join(event.stdout.data for event in events) == b"1\n2\n3\n4\n"
    assert events[-1].ended.reason == EXITED


def test_execs_are_listed_newest_first_and_by_state(ada: Caller, sandbox: str) -> None:
    session = Session(ada, sandbox, "sleep", "60")
    running = session.next().started.exec
    ada.run(sandbox, "true")
    listed = ada.execs.ListExecs(pb.ListExecsRequest(sandbox=sandbox, page_size=2))
    assert [info.state for info in listed.execs] == [pb.EXEC_STATE_ENDED, pb.EXEC_STATE_RUNNING]
    assert listed.execs[1].exec == running
    assert listed.next_page_token
    more = ada.execs.ListExecs(pb.ListExecsRequest(sandbox=sandbox, page_token=listed.next_page_token))
    assert running not in {info.exec for info in more.execs}
    only = ada.execs.ListExecs(pb.ListExecsRequest(sandbox=sandbox, state=pb.EXEC_STATE_RUNNING))
    assert [list(info.args) for info in only.execs] == [["sleep", "60"]]
    answer = ada.execs.CancelExec(pb.CancelExecRequest(sandbox=sandbox, exec=running))
    assert answer.exec.ending.reason == CANCELLED
    assert ada.execs.CancelExec(pb.CancelExecRequest(sandbox=sandbox, exec=running)).exec == answer.exec
    assert session.rest()[2].reason == CANCELLED


def test_a_signal_from_beside(ada: Caller, sandbox: str) -> None:
    session = Session(ada, sandbox, "sleep", "60")
    exec_id = session.next().started.exec
    ada.execs.SignalExec(pb.SignalExecRequest(sandbox=sandbox, exec=exec_id, signal={"signal": 15}))
    ending = session.rest()[2]
    assert (ending.reason, ending.signal) == (pb.ENDING_REASON_SIGNALLED, 15)
    late = pb.SignalExecRequest(sandbox=sandbox, exec=exec_id, signal={"signal": 15})
    assert _refusal(ada.execs.SignalExec, late) == ("FAILED_PRECONDITION", "EXEC_ENDED")


def test_a_request_repeated_finds_its_exec(ada: Caller, sandbox: str) -> None:
    request = pb.RunCommandRequest(sandbox=sandbox, command=run("sh", "-c", "echo $$"), request_id="once")
    first, second = ada.execs.RunCommand(request), ada.execs.RunCommand(request)
    assert (first.exec, first.stdout) == (second.exec, second.stdout)
    request.command.args.append("other")
    assert _refusal(ada.execs.RunCommand, request) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


def test_a_timeout_of_a_callers_own(ada: Caller, sandbox: str) -> None:
    begun = time.monotonic()
    request = pb.RunCommandRequest(sandbox=sandbox, command=run("sleep", "60", timeout={"nanos": 300_000_000}))
    assert ada.execs.RunCommand(request).ending.reason == TIMEOUT
    assert time.monotonic() - begun < 2


REFUSED = {
    "no such sandbox": ("RunCommand", {"sandbox": "sb-none", "command": {"args": ["true"]}}, "SANDBOX_NOT_FOUND"),
    "no such program": ("RunCommand", {"command": {"args": ["no-such"]}}, "PROGRAM_NOT_STARTED"),
    "no program": ("RunCommand", {"command": {}}, "INVALID_REQUEST"),
    "a relative directory": ("RunCommand", {"command": {"args": ["true"], "cwd": "tmp"}}, "INVALID_REQUEST"),
    "a NUL": ("RunCommand", {"command": {"args": ["a\0b"]}}, "INVALID_REQUEST"),
    "a variable's name": ("RunCommand", {"command": {"args": ["true"], "env": {"A=B": "c"}}}, "INVALID_REQUEST"),
    "too much": ("RunCommand", {"command": {"args": ["x" * 100_000] * 16}}, "INVALID_REQUEST"),
    "a program of a long name": ("RunCommand", {"command": {"args": ["x" * 100_000]}}, "PROGRAM_NOT_STARTED"),
    "no such exec": ("GetExec", {"exec": "ex-none"}, "EXEC_NOT_FOUND"),
    "a page of another list": ("ListExecs", {"page_token": "bm9uZQ=="}, "PAGE_TOKEN_INVALID"),
}


@pytest.mark.parametrize(("method", "fields", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_names_why(ada: Caller, sandbox: str, method: str, fields: dict[str, Any], reason: str) -> None:
    request = getattr(pb, f"{method}Request")(**{"sandbox": sandbox, **fields})
    assert _refusal(getattr(ada.execs, method), request)[1] == reason


def test_a_stream_must_begin_with_its_start(ada: Caller, sandbox: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(ada.execs.Exec(iter([pb.ExecRequest(input={"close_stdin": True})])))
    assert details_of(caught.value)["reason"] == "STREAM_OUT_OF_ORDER"


def test_a_second_start_ends_the_call_and_the_program(ada: Caller, sandbox: str) -> None:
    start = pb.ExecRequest(start={"sandbox": sandbox, "command": {"args": ["sleep", "60"]}})
    with pytest.raises(grpc.RpcError) as caught:
        list(ada.execs.Exec(iter([start, start])))
    assert details_of(caught.value)["reason"] == "STREAM_OUT_OF_ORDER"


def test_an_agent_has_its_own_sandbox_only(served: ServedSandboxes, sandbox: str) -> None:
    own, other = served.agent("runner", sandbox), served.agent("stranger", sandbox)
    assert own.run(sandbox, "echo", "mine").stdout == b"mine\n"
    request = pb.RunCommandRequest(sandbox=sandbox, command=run("true"))
    assert _refusal(other.execs.RunCommand, request) == ("NOT_FOUND", "SANDBOX_NOT_FOUND")


def test_an_auditor_runs_nothing(served: ServedSandboxes, sandbox: str) -> None:
    request = pb.RunCommandRequest(sandbox=sandbox, command=run("true"))
    assert _refusal(served.auditor().execs.RunCommand, request) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


def test_many_callers_at_once(ada: Caller, sandbox: str) -> None:
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(ada.run(sandbox, "echo", str(n)).stdout)) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == sorted(b"%d\n" % n for n in range(16))


def _refusal(method: Any, request: Any) -> tuple[object, object]:
    with pytest.raises(grpc.RpcError) as caught:
        method(request)
    details = details_of(caught.value)
    return details["code"], details["reason"]


def _ending(caller: Caller, sandbox: str, exec_id: str) -> pb.Ending:
    """The ending of an exec, once it has one."""
    for _ in range(100):
        info = caller.execs.GetExec(pb.GetExecRequest(sandbox=sandbox, exec=exec_id)).exec
        if info.state == pb.EXEC_STATE_ENDED:
            return info.ending
        time.sleep(0.05)
    raise AssertionError("it did not end")
