"""Ways out that change while a sandbox runs, before a real gate."""

from collections.abc import Iterator
from typing import Any

import pytest
from stockade.sandbox.v1 import sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb

from support.sandbox_service import Caller, eventually, refused
from support.stack import ALLOWED, REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

ASK = f"""
import urllib.error, urllib.request
try: print(urllib.request.urlopen("http://{ALLOWED}/", timeout=5).status)
except urllib.error.HTTPError as error: print(error.code)
except OSError: print("no way")
"""


@pytest.fixture
def ada(stack: Stack) -> Iterator[Caller]:
    """An operator of the session's stack."""
    person = next((stack.run_dir / "operators").iterdir())
    caller = Caller(person / "sandbox.sock")
    yield caller
    caller.channel.close()


@pytest.fixture
def sandbox(ada: Caller) -> Iterator[sandbox_pb2.Sandbox]:
    """A gated sandbox of a type whose policy allows ALLOWED."""
    made = ada.create(agent="mover-1", agent_type="test-generator", network_mode="NETWORK_MODE_WHITELISTED")
    yield made
    ada.delete(made.name)


def update(ada: Caller, name: str, **fields: Any) -> sandbox_pb2.Sandbox:
    request = pb.UpdateSandboxRequest(name=name, update_mask={"paths": list(fields)}, **fields)
    return ada.sandboxes.UpdateSandbox(request).sandbox


def test_a_gated_sandbox_says_so(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    assert (sandbox.network_mode, sandbox.gated) == (sandbox_pb2.NETWORK_MODE_WHITELISTED, True)
    assert ada.python(sandbox.name, ASK) == "200\n"


def test_a_way_out_is_taken_and_given_back_within_a_second(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    assert ada.python(sandbox.name, ASK) == "200\n"
    isolated = update(ada, sandbox.name, network_mode="NETWORK_MODE_ISOLATED")
    assert isolated.network_mode == sandbox_pb2.NETWORK_MODE_ISOLATED
    eventually(lambda: ada.python(sandbox.name, ASK) == "no way\n", seconds=1.5)
    update(ada, sandbox.name, network_mode="NETWORK_MODE_WHITELISTED")
    eventually(lambda: ada.python(sandbox.name, ASK) == "200\n", seconds=1.5)


def test_domains_are_narrowed_while_it_runs_and_never_widened(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    update(ada, sandbox.name, allowed_domains=["api.anthropic.com"])
    eventually(lambda: ada.python(sandbox.name, ASK) == "403\n", seconds=1.5)
    found = refused(lambda: update(ada, sandbox.name, allowed_domains=[REFUSED], limits={"pids": 64}))
    assert (found["code"], found["reason"]) == ("INVALID_ARGUMENT", "DOMAIN_NOT_IN_POLICY")
    usage = ada.sandboxes.GetSandboxUsage(pb.GetSandboxUsageRequest(name=sandbox.name)).usage
    assert usage.pids.limit == sandbox.limits.pids  # all of a change is made, or nothing
    assert list(ada.get(sandbox.name).allowed_domains) == ["api.anthropic.com"]
    update(ada, sandbox.name, allowed_domains=[])
    eventually(lambda: ada.python(sandbox.name, ASK) == "200\n", seconds=1.5)


def test_a_domain_outside_the_policy_makes_no_sandbox(ada: Caller, stack: Stack) -> None:
    before = doors(stack)
    found = refused(lambda: ada.create(agent_type="test-generator", network_mode=2, allowed_domains=[REFUSED]))
    assert (found["code"], found["reason"]) == ("INVALID_ARGUMENT", "DOMAIN_NOT_IN_POLICY")
    assert REFUSED in found["message"]
    assert doors(stack) == before


def doors(stack: Stack) -> set[str]:
    """Sandboxes that have a door."""
    return {path.parent.name for path in (stack.run_dir / "sb").glob("*/api.sock")}
