"""What the audit record says of sandboxes: what callers asked for, and the ends that none asked for."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from stockade.sandbox.v1 import sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb
from stockade_sandbox.settings import PROFILES

from support.sandbox_service import Caller, eventually
from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


@pytest.fixture
def ada(stack: Stack) -> Iterator[Caller]:
    """An operator of the session's stack."""
    caller = Caller(next((stack.run_dir / "operators").iterdir()) / "sandbox.sock")
    yield caller
    caller.channel.close()


def entries(stack: Stack, *words: str) -> list[dict[str, Any]]:
    """Entries of the record, the oldest first."""
    done = stack.stockade("audit", "list", "--oldest-first", "--json", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["entries"] if isinstance(found, dict) else found


def test_a_sandbox_is_recorded_from_before_it_is_until_it_is_gone(stack: Stack, ada: Caller) -> None:
    name = ada.create(agent="recorded-1", env={"TOKEN": "very-secret"}).name
    ada.sandboxes.PauseSandbox(pb.PauseSandboxRequest(name=name))
    ada.sandboxes.ResumeSandbox(pb.ResumeSandboxRequest(name=name))
    ada.delete(name)
    wanted = ["SANDBOX_CREATED", "SANDBOX_PAUSED", "SANDBOX_RESUMED", "SANDBOX_DELETED"]

    def found() -> list[dict[str, Any]]:
        told = entries(stack, "--sandbox", name, "--service", "sandbox")
        return told if {entry["action"] for entry in told} >= set(wanted) else []

    told = eventually(found)
    outcomes = [entry for entry in told if entry["action"] in wanted]
    assert [entry["action"] for entry in outcomes] == wanted
    intents = {entry["id"] for entry in entries(stack, "--agent", "recorded-1") if entry["action"] == "INTENT"}
    intents |= {entry["id"] for entry in told if entry["action"] == "INTENT"}
    assert {entry["intent_id"] for entry in outcomes} <= intents
    created = outcomes[0]
    assert (created["agent"], created["metadata"]["network_mode"]) == ("recorded-1", "ISOLATED")
    assert "very-secret" not in json.dumps(told)


ENDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "its lifetime is over": ({"lifetime": {"seconds": 1}}, "SANDBOX_DELETED", "LIFETIME_OVER"),
    "nothing happened in it": ({"idle_timeout": {"seconds": 1}}, "SANDBOX_DELETED", "IDLE"),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_that_nobody_asked_for_is_recorded(name: str, stack: Stack, ada: Caller) -> None:
    fields, action, reason = ENDS[name]
    sandbox = ada.create(**fields)
    eventually(lambda: ada.get(sandbox.name).state == sandbox_pb2.SANDBOX_STATE_ENDED)
    ends = eventually(lambda: [e for e in entries(stack, "--sandbox", sandbox.name) if e["action"] == action])
    assert [(end["reason"], end["agent"], end["principal"]) for end in ends] == [(reason, sandbox.agent, "sandbox")]


def test_the_record_names_the_profiles_that_were_in_force(stack: Stack) -> None:
    (started, *_) = [e for e in entries(stack, "--service", "sandbox") if e["action"] == "SERVICE_STARTED"]
    digest = hashlib.sha256(PROFILES.read_bytes()).hexdigest()
    assert (started["resource"], started["metadata"]) == ("profiles", {"sha256": digest})
