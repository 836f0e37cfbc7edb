"""Ways out that change while a sandbox runs, before a real gate."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb
from stockade_sandbox.domain.sandbox import new_name

from support.sandbox_service import Caller, eventually, refused
from support.stack import ALLOWED, REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

ASK = f"""
import urllib.error, urllib.request
def ask():
    try: return urllib.request.urlopen("http://{ALLOWED}/", timeout=5).status
    except urllib.error.HTTPError as error: return error.code
    except OSError: return "no-way"
"""
ASK_ONCE = ASK + "print(ask())"
KEEP_ASKING = f"""{ASK}
import time
said = {{200: "open", 429: "open", 403: "refused"}}  # beyond its limit it is let through to be told so
while True:
    began = time.time(); print(began, said.get(ask(), "closed"), flush=True); time.sleep(0.1)
"""
FORCE_SECONDS = 1.0
"""How long a change may take to be in force."""


@pytest.fixture
def ada(stack: Stack) -> Iterator[Caller]:
    """An operator of the session's stack."""
    person = next((stack.run_dir / "operators").iterdir())
    caller = Caller(person / "sandbox.sock")
    yield caller
    caller.channel.close()


@pytest.fixture
def sandbox(ada: Caller) -> Iterator[sandbox_pb2.Sandbox]:
    """A gated sandbox of a type whose policy allows ALLOWED, and of an agent that has asked for nothing yet."""
    agent = new_name("mover")
    made = ada.create(agent=agent, agent_type="test-generator", network_mode="NETWORK_MODE_WHITELISTED")
    yield made
    ada.delete(made.name)


def update(ada: Caller, name: str, **fields: Any) -> sandbox_pb2.Sandbox:
    request = pb.UpdateSandboxRequest(name=name, update_mask={"paths": list(fields)}, **fields)
    return ada.sandboxes.UpdateSandbox(request).sandbox


def test_a_gated_sandbox_says_so(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    assert (sandbox.network_mode, sandbox.gated) == (sandbox_pb2.NETWORK_MODE_WHITELISTED, True)
    assert ada.python(sandbox.name, ASK_ONCE) == "200\n"


class Asking:
    """A program in the sandbox that asks again and again, and says when it began to ask and what it got."""

    def __init__(self, ada: Caller, name: str) -> None:
        start = {"sandbox": name, "command": {"args": ("python3", "-c", KEEP_ASKING)}, "no_stdin": True}
        self.call = ada.execs.Exec(iter([exec_service_pb2.ExecRequest(start=start)]))
        self._answers = self._read()

    def until(self, wanted: str) -> None:
        """Waits for that answer."""
        for _, answer in self._answers:
            if answer == wanted:
                return

    def gets_after(self, change: Callable[[], object], wanted: str) -> None:
        """What is asked a second after the change was answered, or later, gets `wanted` and nothing else."""
        change()
        in_force = time.time() + FORCE_SECONDS
        asked = 0
        for began, answer in self._answers:
            if began > in_force:
                assert answer == wanted
                asked += 1
            if asked == 5:
                return

    def _read(self) -> Iterator[tuple[float, str]]:
        unread = b""
        for event in self.call:
            *lines, unread = (unread + event.stdout.data).split(b"\n")
            for began, answer in map(bytes.split, lines):
                yield float(began), answer.decode()
        raise AssertionError("it asks for ever")


def test_a_way_out_is_taken_and_given_back_within_a_second(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    asking = Asking(ada, sandbox.name)
    asking.until("open")
    asking.gets_after(lambda: update(ada, sandbox.name, network_mode="NETWORK_MODE_ISOLATED"), "closed")
    assert ada.get(sandbox.name).network_mode == sandbox_pb2.NETWORK_MODE_ISOLATED
    asking.gets_after(lambda: update(ada, sandbox.name, network_mode="NETWORK_MODE_WHITELISTED"), "open")
    asking.call.cancel()


def test_what_went_through_the_gate_is_counted(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    def network() -> sandbox_pb2.NetworkUsage:
        return ada.sandboxes.GetSandboxUsage(pb.GetSandboxUsageRequest(name=sandbox.name)).usage.network

    assert network() == sandbox_pb2.NetworkUsage()
    assert ada.python(sandbox.name, ASK_ONCE) == "200\n"
    assert ada.python(sandbox.name, ASK_ONCE.replace(ALLOWED, REFUSED)) == "403\n"
    once = eventually(lambda: (found := network()).received_bytes and found)
    assert (once.allowed_requests, once.refused_requests) == (1, 1)
    assert ada.python(sandbox.name, ASK_ONCE) == "200\n"
    stream = ada.sandboxes.StreamSandboxUsage(pb.StreamSandboxUsageRequest(name=sandbox.name), timeout=20)
    told = next(item.usage.network for item in stream if item.usage.network.received_bytes > once.received_bytes)
    assert told.received_bytes == 2 * once.received_bytes
    assert (told.allowed_requests, told.refused_requests) == (2, 1)
    stream.cancel()


def test_a_sandbox_without_a_way_out_has_used_none_of_it(ada: Caller) -> None:
    name = ada.create(network_mode="NETWORK_MODE_ISOLATED").name
    usage = ada.sandboxes.GetSandboxUsage(pb.GetSandboxUsageRequest(name=name)).usage
    assert (usage.HasField("network"), usage.network) == (True, sandbox_pb2.NetworkUsage())
    ada.delete(name)


def test_domains_are_narrowed_while_it_runs_and_never_widened(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    asking = Asking(ada, sandbox.name)
    asking.until("open")
    asking.gets_after(lambda: update(ada, sandbox.name, allowed_domains=["api.anthropic.com"]), "refused")
    found = refused(lambda: update(ada, sandbox.name, allowed_domains=[REFUSED], limits={"pids": 64}))
    assert (found["code"], found["reason"]) == ("INVALID_ARGUMENT", "DOMAIN_NOT_IN_POLICY")
    usage = ada.sandboxes.GetSandboxUsage(pb.GetSandboxUsageRequest(name=sandbox.name)).usage
    assert usage.pids.limit == sandbox.limits.pids  # all of a change is made, or nothing
    assert list(ada.get(sandbox.name).allowed_domains) == ["api.anthropic.com"]
    asking.gets_after(lambda: update(ada, sandbox.name, allowed_domains=[]), "open")
    asking.call.cancel()


def test_a_domain_outside_the_policy_makes_no_sandbox(ada: Caller, stack: Stack) -> None:
    before = doors(stack)
    found = refused(lambda: ada.create(agent_type="test-generator", network_mode=2, allowed_domains=[REFUSED]))
    assert (found["code"], found["reason"]) == ("INVALID_ARGUMENT", "DOMAIN_NOT_IN_POLICY")
    assert REFUSED in found["message"]
    assert doors(stack) == before


def doors(stack: Stack) -> set[str]:
    """Sandboxes that have a door."""
    return {path.parent.name for path in (stack.run_dir / "sb").glob("*/api.sock")}
