"""One reason for each ending, by a table."""

import signal

import pytest
from stockade_sandbox.domain.ending import Observed, Reason, Stop, conclude, exit_code, exit_signal

OK, FAILED, KILLED, TERMINATED, BAD_CALL = 0, 1 << 8, signal.SIGKILL, signal.SIGTERM, signal.SIGSYS

CASES = {
    "it exits well": (Observed(status=OK), Reason.EXITED),
    "it fails": (Observed(status=FAILED), Reason.EXITED),
    "a signal of nobody's": (Observed(status=TERMINATED), Reason.SIGNALLED),
    "SIGKILL without any known cause is no invention": (Observed(status=KILLED), Reason.SIGNALLED),
    "the seccomp profile": (Observed(status=BAD_CALL), Reason.SIGNALLED),
    "killed for a timeout": (Observed(status=KILLED, stop=Stop.TIMEOUT), Reason.TIMEOUT),
    "killed for a cancellation": (Observed(status=KILLED, stop=Stop.CANCELLED), Reason.CANCELLED),
    "it exits while the timeout's kill is on its way": (Observed(status=OK, stop=Stop.TIMEOUT), Reason.EXITED),
    "it fails while the cancellation is on its way": (Observed(status=FAILED, stop=Stop.CANCELLED), Reason.EXITED),
    "output limit": (Observed(status=KILLED, stop=Stop.OUTPUT_LIMIT), Reason.OUTPUT_LIMIT),
    "it exits after it passed the output limit": (Observed(status=OK, stop=Stop.OUTPUT_LIMIT), Reason.OUTPUT_LIMIT),
    "killed for memory": (Observed(status=KILLED, oom_kills=1), Reason.OUT_OF_MEMORY),
    "a child killed for memory, and it fails": (Observed(status=FAILED, oom_kills=2), Reason.OUT_OF_MEMORY),
    "a child killed for memory, and it exits well": (Observed(status=OK, oom_kills=1), Reason.EXITED),
    "refused a fork, and it fails": (Observed(status=FAILED, pids_refused=1), Reason.PIDS_LIMIT),
    "refused a fork, and it exits well": (Observed(status=OK, pids_refused=9), Reason.EXITED),
    "memory before pids": (Observed(status=FAILED, oom_kills=1, pids_refused=1), Reason.OUT_OF_MEMORY),
    "a full disk, and it fails": (Observed(status=FAILED, full_disks=("/workspace",)), Reason.DISK_FULL),
    "a full disk, and it exits well": (Observed(status=OK, full_disks=("/workspace",)), Reason.EXITED),
    "its last words say so": (Observed(status=FAILED, told_of_full_disk=True), Reason.DISK_FULL),
    "a timeout before memory": (Observed(status=KILLED, stop=Stop.TIMEOUT, oom_kills=1), Reason.TIMEOUT),
    "nobody saw": (Observed(lost="the node restarted"), Reason.SANDBOX_LOST),
    "PID 1 killed for memory": (Observed(init_out_of_memory=True), Reason.OUT_OF_MEMORY),
    "nobody saw, and its tree had been killed": (Observed(stop=Stop.TIMEOUT), Reason.TIMEOUT),
}


@pytest.mark.parametrize(("seen", "reason"), CASES.values(), ids=CASES)
def test_the_reason(seen: Observed, reason: Reason) -> None:
    found, detail = conclude(seen)
    assert found is reason
    assert detail


def test_every_reason_has_a_case() -> None:
    assert {reason for _seen, reason in CASES.values()} == set(Reason)


@pytest.mark.parametrize(
    ("status", "code", "number"),
    [(0, 0, None), (3 << 8, 3, None), (255 << 8, 255, None), (9, None, 9), (11 | 128, None, 11), (None, None, None)],
)
def test_a_code_is_never_made_of_a_signal(status: int | None, code: int | None, number: int | None) -> None:
    assert (exit_code(status), exit_signal(status)) == (code, number)


def test_the_detail_of_a_seccomp_kill_says_so() -> None:
    assert "seccomp" in conclude(Observed(status=BAD_CALL))[1]
