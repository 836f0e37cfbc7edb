"""The seccomp profile: every system call of the kernel's table stands in exactly one list."""

import json
import re
from pathlib import Path

import pytest
from stockade_sandbox import seccomp
from stockade_sandbox.domain.sandbox import Tier
from stockade_sandbox.supervisor import immunity

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def names(table: object) -> list[str]:
    assert isinstance(table, dict)
    return [name for text in table.values() for name in text.split()]


def test_no_call_stands_twice() -> None:
    listed = [*names(seccomp.ALLOWED), *names(seccomp.DENIED), *seccomp.BY_ARGUMENT]
    assert len(listed) == len(set(listed))


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's header is in linux-libc-dev")
def test_the_whole_table_was_thought_about() -> None:
    table = set(re.findall(r"__NR_(\w+)", HEADER.read_text()))
    listed = {*names(seccomp.ALLOWED), *names(seccomp.DENIED), *seccomp.BY_ARGUMENT}
    assert table - listed == set()


def test_the_profile_lets_nothing_denied_pass() -> None:
    profile = json.loads(seccomp.profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]
    passed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert passed & set(names(seccomp.DENIED)) == set()
    assert passed == {*names(seccomp.ALLOWED), *seccomp.BY_ARGUMENT} - {"clone3"}
    unconditional = {n for r in profile["syscalls"] if not r.get("args") for n in r["names"]}
    assert unconditional & seccomp.BY_ARGUMENT == {"clone3"}


def test_a_process_changes_no_limits_but_its_own() -> None:
    rules = [rule for rule in json.loads(seccomp.profile())["syscalls"] if "prlimit64" in rule["names"]]
    assert [rule["args"] for rule in rules] == [[{"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]]


def test_gvisors_profile_is_the_same_but_for_what_its_kernel_does_otherwise() -> None:
    profile = json.loads(seccomp.profile(Tier.GVISOR))
    passed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert passed == {*names(seccomp.ALLOWED), *seccomp.BY_ARGUMENT} - {"clone3"}
    assert {"names": ["clone3"], "action": "SCMP_ACT_TRACE"} in profile["syscalls"]
    unconditional = {n for r in profile["syscalls"] if not r.get("args") for n in r["names"]}
    assert unconditional & seccomp.BY_ARGUMENT == {"clone3"}


BY_THEIR_FIRST = """
    kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo
    sched_setparam sched_setscheduler sched_setaffinity sched_setattr
"""
MOVES = {name: {(0, 1)} for name in BY_THEIR_FIRST.split()} | {
    "setpriority": {(1, 1), (0, 2)},
    "ioprio_set": {(1, 1), (0, 3)},
}
"""Calls by which another process of the same uid is moved: with which values of which arguments PID 1 is."""


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's header is in linux-libc-dev")
def test_the_supervisors_own_filter_refuses_what_moves_it() -> None:
    numbers = {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", HEADER.read_text())}
    refused = {(numbers[name], *argument) for name, arguments in MOVES.items() for argument in arguments}
    assert set(immunity.REFUSED) == refused
    allowed = set(names(seccomp.ALLOWED))
    assert set(MOVES) <= allowed, "what the profile refuses needs no second filter"
