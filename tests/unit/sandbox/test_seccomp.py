"""The seccomp profile: every system call of the kernel's table stands in exactly one list."""

import json
import re
from pathlib import Path

import pytest
from stockade_sandbox import seccomp

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
