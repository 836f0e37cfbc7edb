"""A finding from the entries that show it to what people made of it."""

import json

import pytest
from stockade_audit.daemon.domain.finding import SPIKE

from support.audit_cli import record, stockade
from support.auditd import Auditd, eventually
from support.journals import entry


def listed(auditd: Auditd, *options: str) -> list[dict[str, str]]:
    answer: list[dict[str, str]] = json.loads(stockade(auditd, "audit", "findings", "list", "--json", *options).stdout)
    return answer


def test_a_spike_is_found_looked_into_and_closed(auditd: Auditd) -> None:
    record(auditd, *(entry(action="BLOCKED", agent="a-1") for _ in range(SPIKE)))
    (found,) = eventually(lambda: listed(auditd))
    assert (found["kind"], found["state"], found["subject"]) == (
        "FINDING_KIND_BLOCK_SPIKE",
        "FINDING_STATE_OPEN",
        "a-1",
    )
    assert stockade(auditd, "audit", "findings", "ack", found["id"], "--note", "mine").returncode == 0
    eventually(lambda: listed(auditd)[0]["state"] == "FINDING_STATE_ACKNOWLEDGED")
    closed = stockade(auditd, "audit", "findings", "dispose", found["id"], "--as", "resolved", "--note", "a loop")
    assert closed.returncode == 0
    eventually(lambda: listed(auditd) == [])
    (found,) = listed(auditd, "--all")
    assert (found["disposition"], found["note"]) == ("DISPOSITION_RESOLVED", "a loop")


@pytest.mark.parametrize("command", [["ack", "nobody"], ["dispose", "nobody", "--as", "accepted", "--note", "x"]])
def test_no_finding_no_step(auditd: Auditd, command: list[str]) -> None:
    done = stockade(auditd, "audit", "findings", *command)
    assert done.returncode == 4
    assert "FINDING_NOT_FOUND" in done.stderr
