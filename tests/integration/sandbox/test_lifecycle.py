"""What callers of the sandbox service get, on a real engine."""

import errno
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2

from support.engine import AGENT_IMAGE, EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, mounts_below, refused, served_sandboxes

pytestmark = pytest.mark.docker

MIB = 1 << 20
Request = sandbox_service_pb2


def test_a_new_sandbox_runs_and_tells_what_it_got(ada: Caller, served: ServedSandboxes) -> None:
    sandbox = ada.create(agent="writer-1", agent_type="qe-test-writer", limits={"pids": 64}, labels={"job": "7"})
    assert sandbox.state == sandbox_pb2.SANDBOX_STATE_RUNNING
    assert (sandbox.agent, sandbox.profile, sandbox.agent_type_known) == ("writer-1", "test-writer", True)
    assert sandbox.image == AGENT_IMAGE
    assert sandbox.image_digest.startswith("sha256:")
    assert (sandbox.limits.memory_bytes, sandbox.limits.disk_bytes, sandbox.limits.pids) == (1 << 30, 256 * MIB, 64)
    assert sandbox.tier == sandbox_pb2.Tier.Value(f"TIER_{served.tier}")
    assert sandbox.network_mode == sandbox_pb2.NETWORK_MODE_ISOLATED
    assert sandbox.expire_time.ToDatetime() - sandbox.create_time.ToDatetime() == timedelta(hours=1)
    assert dict(sandbox.labels) == {"job": "7"}
    assert len(sandbox.trace_id) == 32
    assert ada.get(sandbox.name) == sandbox
    ada.delete(sandbox.name)


def test_an_unknown_type_gets_the_default_and_is_told(ada: Caller) -> None:
    sandbox = ada.create(agent_type="stranger")
    assert (sandbox.profile, sandbox.agent_type_known) == ("default", False)
    assert "stranger" in sandbox.warnings[0]
    assert sandbox.limits.memory_bytes == 512 * MIB
    ada.delete(sandbox.name)


REFUSALS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "more memory than the ceiling": (
        {"limits": {"memory_bytes": 1 << 30}},
        "INVALID_ARGUMENT",
        "LIMIT_ABOVE_PROFILE",
        "536870912",
    ),
    "more cores than the ceiling": ({"limits": {"cpu": 1.5}}, "INVALID_ARGUMENT", "LIMIT_ABOVE_PROFILE", "1.0"),
    "more disk than the ceiling": (
        {"limits": {"disk_bytes": 1 << 40}},
        "INVALID_ARGUMENT",
        "LIMIT_ABOVE_PROFILE",
        "134217728",
    ),
    "more processes than the ceiling": ({"limits": {"pids": 4096}}, "INVALID_ARGUMENT", "LIMIT_ABOVE_PROFILE", "128"),
    "a wider network than the profile's": (
        {"network_mode": "NETWORK_MODE_WHITELISTED"},
        "INVALID_ARGUMENT",
        "LIMIT_ABOVE_PROFILE",
        "ISOLATED",
    ),
    "the host's network": (
        {"network_mode": "NETWORK_MODE_HOST"},
        "PERMISSION_DENIED",
        "NETWORK_MODE_NOT_ALLOWED",
        "STOCKADE_SANDBOX_ALLOW_HOST_NETWORK",
    ),
    "a longer life than the server's": (
        {"lifetime": {"seconds": 86401}},
        "INVALID_ARGUMENT",
        "LIMIT_ABOVE_PROFILE",
        "86400",
    ),
    "an image that is not there": (
        {"image": "stockade/nowhere:1"},
        "FAILED_PRECONDITION",
        "IMAGE_MISSING",
        "deploy/images/agent/build",
    ),
    "an image off the list": (
        {"image": "evil:latest"},
        "PERMISSION_DENIED",
        "IMAGE_NOT_ALLOWED",
        "STOCKADE_SANDBOX_IMAGES",
    ),
    "a tier that the node has not": (
        {"least_tier": "TIER_GVISOR"},
        "FAILED_PRECONDITION",
        "TIER_UNAVAILABLE",
        "GVISOR",
    ),
    "a type that wants gVisor": (
        {"agent_type": "security-scanner"},
        "FAILED_PRECONDITION",
        "TIER_UNAVAILABLE",
        "STOCKADE_SANDBOX_ACCEPT_LOWER_TIER",
    ),
    "a gated sandbox without a gate": (
        {"agent_type": "test-writer", "network_mode": "NETWORK_MODE_WHITELISTED"},
        "UNAVAILABLE",
        "DEPENDENCY_UNAVAILABLE",
        "stockade up",
    ),
    "an agent's name that is none": ({"agent": "No Name"}, "INVALID_ARGUMENT", "INVALID_REQUEST", "agent"),
    "a negative memory": ({"limits": {"memory_bytes": -1}}, "INVALID_ARGUMENT", "INVALID_REQUEST", "32 MiB"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_may_not_be_is_refused_with_its_mend_and_leaves_nothing(
    name: str, ada: Caller, served: ServedSandboxes
) -> None:
    fields, code, reason, mend = REFUSALS[name]
    if reason == "TIER_UNAVAILABLE" and served.tier == "GVISOR":
        pytest.skip("this node has that tier")
    before = served.containers()
    found = refused(lambda: ada.create(**fields))
    assert (found["code"], found["reason"]) == (code, reason)
    assert mend in found["message"]
    assert "\n" not in found["message"]
    assert served.containers() == before
    assert not mounts_below(served.root)


def test_a_request_id_makes_one_sandbox(ada: Caller, served: ServedSandboxes) -> None:
    made: list[str] = []
    makers = [threading.Thread(target=lambda: made.append(ada.create(request_id="r-1").name)) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(set(made)) == 1
    assert len(made) == 3
    found = refused(lambda: ada.create(request_id="r-1", agent="agent-2"))
    assert (found["code"], found["reason"]) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    other = served.operator("bob").create(request_id="r-1")
    assert other.name != made[0]
    ada.delete(made[0])
    ada.delete(other.name)


def test_an_agent_sees_and_ends_its_own_alone(ada: Caller, served: ServedSandboxes) -> None:
    mine, other = ada.create(agent="agent-1"), ada.create(agent="agent-2")
    agent = served.agent("agent-1", mine.name)
    listed = agent.sandboxes.ListSandboxes(Request.ListSandboxesRequest()).sandboxes
    assert [sandbox.name for sandbox in listed] == [mine.name]
    calls: dict[str, Callable[[], Any]] = {
        "get": lambda: agent.get(other.name),
        "delete": lambda: agent.delete(other.name),
        "usage": lambda: agent.sandboxes.GetSandboxUsage(Request.GetSandboxUsageRequest(name=other.name)),
        "health": lambda: agent.sandboxes.GetSandboxHealth(Request.GetSandboxHealthRequest(name=other.name)),
        "logs": lambda: list(agent.sandboxes.GetSandboxLogs(Request.GetSandboxLogsRequest(name=other.name))),
    }
    for name, call in calls.items():
        assert refused(call)["reason"] == "SANDBOX_NOT_FOUND", name
    assert refused(agent.create)["reason"] == "CALLER_NOT_ALLOWED"
    update = Request.UpdateSandboxRequest(name=mine.name, update_mask={"paths": ["limits"]}, limits={"pids": 64})
    assert refused(lambda: agent.sandboxes.UpdateSandbox(update))["reason"] == "CALLER_NOT_ALLOWED"
    assert agent.delete(mine.name).state == sandbox_pb2.SANDBOX_STATE_ENDED
    ada.delete(other.name)


def test_a_deleted_sandbox_leaves_nothing_and_is_still_told_of(ada: Caller, served: ServedSandboxes) -> None:
    sandbox = ada.create()
    assert (served.run_dir / "sb" / sandbox.name).exists()
    answer = ada.sandboxes.DeleteSandbox(Request.DeleteSandboxRequest(name=sandbox.name))
    assert answer.sandbox.state == sandbox_pb2.SANDBOX_STATE_ENDED
    assert answer.sandbox.state_reason == sandbox_pb2.STATE_REASON_DELETED
    assert answer.usage.memory.peak_bytes > 0
    assert sandbox.name not in served.containers()
    assert not list(served.root.rglob(f"*{sandbox.name}*"))
    assert not [mount for mount in mounts_below(served.root) if sandbox.name in mount]
    assert ada.get(sandbox.name).state == sandbox_pb2.SANDBOX_STATE_ENDED
    assert ada.delete(sandbox.name) == answer.sandbox
    pause = Request.PauseSandboxRequest(name=sandbox.name)
    assert refused(lambda: ada.sandboxes.PauseSandbox(pause))["reason"] == "SANDBOX_NOT_RUNNING"


def test_pause_and_resume(ada: Caller, served: ServedSandboxes) -> None:
    name = ada.create().name
    for _ in range(2):  # again is no error
        paused = ada.sandboxes.PauseSandbox(Request.PauseSandboxRequest(name=name)).sandbox
        assert paused.state == sandbox_pb2.SANDBOX_STATE_PAUSED
        eventually(lambda: _engine_has_it_paused(served, name))
    for _ in range(2):
        resumed = ada.sandboxes.ResumeSandbox(Request.ResumeSandboxRequest(name=name)).sandbox
        assert resumed.state == sandbox_pb2.SANDBOX_STATE_RUNNING
        eventually(lambda: not _engine_has_it_paused(served, name))
    ada.delete(name)


def _engine_has_it_paused(served: ServedSandboxes, name: str) -> bool:
    """What Docker says lags behind its own answers: it takes its word from containerd's events."""
    return served.engine.docker("inspect", "--format", "{{.State.Paused}}", name) == "true"


def test_update_is_held_to_the_ceilings_and_the_etag(ada: Caller, served: ServedSandboxes) -> None:
    sandbox = ada.create()

    def update(etag: str = "", **fields: Any) -> sandbox_pb2.Sandbox:
        request = Request.UpdateSandboxRequest(
            name=sandbox.name, update_mask={"paths": list(fields)}, etag=etag, **fields
        )
        return ada.sandboxes.UpdateSandbox(request).sandbox

    changed = update(etag=sandbox.etag, limits={"memory_bytes": 256 * MIB, "cpu": 0.5}, labels={"a": "b"})
    assert (changed.limits.memory_bytes, changed.limits.cpu, changed.limits.pids) == (256 * MIB, 0.5, 128)
    inspect = served.engine.docker(
        "inspect",
        "--format",
        "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}",
        sandbox.name,
    )
    assert inspect == f"{256 * MIB} {256 * MIB} 500000000"
    renewed = update(lifetime={"seconds": 7200})
    assert renewed.expire_time.seconds > changed.expire_time.seconds + 3000
    refusals = {
        "an old etag": (lambda: update(etag=sandbox.etag, labels={}), "ETAG_MISMATCH"),
        "above the ceiling": (lambda: update(limits={"memory_bytes": 1 << 30}), "LIMIT_ABOVE_PROFILE"),
        "another disk": (lambda: update(limits={"disk_bytes": 64 * MIB}), "INVALID_REQUEST"),
        "a wider network": (lambda: update(network_mode="NETWORK_MODE_WHITELISTED"), "LIMIT_ABOVE_PROFILE"),
    }
    for name, (call, reason) in refusals.items():
        assert refused(call)["reason"] == reason, name
    mask = Request.UpdateSandboxRequest(name=sandbox.name, update_mask={"paths": ["image"]})
    assert refused(lambda: ada.sandboxes.UpdateSandbox(mask))["reason"] == "INVALID_REQUEST"
    assert ada.get(sandbox.name) == renewed
    ada.delete(sandbox.name)


def test_watch_sends_what_is_and_then_what_changes(ada: Caller) -> None:
    name = ada.create(labels={"watched": "yes"}).name
    stream = ada.sandboxes.WatchSandboxes(
        Request.WatchSandboxesRequest(filter={"labels": {"watched": "yes"}}), timeout=20
    )
    assert next(stream).sandbox.name == name
    assert not next(stream).HasField("sandbox")  # all that exist have been sent
    ada.sandboxes.PauseSandbox(Request.PauseSandboxRequest(name=name))
    assert next(stream).sandbox.state == sandbox_pb2.SANDBOX_STATE_PAUSED
    ada.delete(name)
    states = [next(stream).sandbox.state]
    if states[-1] == sandbox_pb2.SANDBOX_STATE_ENDING:
        states.append(next(stream).sandbox.state)
    assert states[-1] == sandbox_pb2.SANDBOX_STATE_ENDED
    stream.cancel()


def test_pages_show_each_sandbox_once(ada: Caller) -> None:
    names = [ada.create(labels={"paged": "yes"}).name for _ in range(3)]
    seen: list[str] = []
    token = ""
    while True:
        request = Request.ListSandboxesRequest(filter={"labels": {"paged": "yes"}}, page_size=2, page_token=token)
        page = ada.sandboxes.ListSandboxes(request)
        seen += [sandbox.name for sandbox in page.sandboxes]
        token = page.next_page_token
        if not token:
            break
    assert seen == names[::-1]
    other = Request.ListSandboxesRequest(page_size=2, page_token="bm9wZQ==")
    assert refused(lambda: ada.sandboxes.ListSandboxes(other))["reason"] == "PAGE_TOKEN_INVALID"
    for name in names:
        ada.delete(name)


BEHIND_OUR_BACK = {
    "docker kill": (("kill",), sandbox_pb2.STATE_REASON_KILLED),
    "docker rm": (("rm", "--force"), sandbox_pb2.STATE_REASON_REMOVED),
}


@pytest.mark.parametrize("name", BEHIND_OUR_BACK)
def test_what_happens_behind_our_back_is_noticed(name: str, ada: Caller, served: ServedSandboxes) -> None:
    command, reason = BEHIND_OUR_BACK[name]
    sandbox = ada.create()
    served.engine.docker(*command, sandbox.name)
    lost = eventually(lambda: (found := ada.get(sandbox.name)).state == sandbox_pb2.SANDBOX_STATE_LOST and found)
    # A removal is a death first: which of the two is told hangs on which was seen.
    assert lost.state_reason in (reason, sandbox_pb2.STATE_REASON_KILLED)
    assert lost.state_message
    assert sandbox.name not in served.containers()
    assert not [mount for mount in mounts_below(served.root) if sandbox.name in mount]


def test_a_lifetime_ends(ada: Caller, served: ServedSandboxes) -> None:
    name = ada.create(lifetime={"seconds": 1}).name
    ended = eventually(lambda: (found := ada.get(name)).state == sandbox_pb2.SANDBOX_STATE_ENDED and found)
    assert ended.state_reason == sandbox_pb2.STATE_REASON_LIFETIME_OVER
    assert name not in served.containers()


def test_idleness_ends(ada: Caller) -> None:
    name = ada.create(idle_timeout={"seconds": 1}).name
    ended = eventually(lambda: (found := ada.get(name)).state == sandbox_pb2.SANDBOX_STATE_ENDED and found)
    assert ended.state_reason == sandbox_pb2.STATE_REASON_IDLE


def test_usage_is_the_kernels_own(ada: Caller, served: ServedSandboxes) -> None:
    name = ada.create(limits={"memory_bytes": 128 * MIB, "pids": 32}).name
    usage = ada.sandboxes.GetSandboxUsage(Request.GetSandboxUsageRequest(name=name)).usage
    own_kernel = served.tier == "GVISOR"
    assert 0 < usage.memory.used_bytes < (40 if own_kernel else 12) * MIB
    assert usage.memory.limit_bytes == 128 * MIB
    assert (usage.pids.limit, usage.pids.used >= 1) == (256 + 4 * 32 if own_kernel else 32, True)
    assert usage.cpu.total.ToNanoseconds() > 0
    assert 110 * MIB < usage.disk.limit_bytes <= 128 * MIB
    stream = ada.sandboxes.StreamSandboxUsage(
        Request.StreamSandboxUsageRequest(name=name, interval={"nanos": 100_000_000})
    )
    first, second = next(stream).usage, next(stream).usage
    assert second.read_time.ToNanoseconds() - first.read_time.ToNanoseconds() >= 100_000_000
    ada.delete(name)
    assert len(list(stream)) <= 2  # ends with the sandbox


def test_health_is_the_supervisors_heartbeat(ada: Caller) -> None:
    name = ada.create().name
    health = ada.sandboxes.GetSandboxHealth(Request.GetSandboxHealthRequest(name=name))
    assert health.state == sandbox_pb2.HEALTH_STATE_HEALTHY
    assert abs(health.heartbeat_time.ToSeconds() - time.time()) < 20
    ada.delete(name)
    health = ada.sandboxes.GetSandboxHealth(Request.GetSandboxHealthRequest(name=name))
    assert health.state == sandbox_pb2.HEALTH_STATE_NOT_RUNNING


def test_a_full_disk_ends_on_the_mark_and_harms_nobody(ada: Caller, served: ServedSandboxes) -> None:
    sandbox, neighbour = ada.create(limits={"disk_bytes": 16 * MIB}), ada.create()
    fill = "dd if=/dev/zero of=/workspace/fill bs=1M count=64 2>&1; stat -c %s /workspace/fill"
    said = served.engine.docker("exec", sandbox.name, "sh", "-c", fill)
    assert "No space left on device" in said
    assert 10 * MIB < int(said.splitlines()[-1]) <= 16 * MIB
    served.engine.docker("exec", sandbox.name, "rm", "/workspace/fill")
    many = """
i = 0
try:
    while True: open(f"/workspace/{i}", "x").close(); i += 1
except OSError as error: print(error.errno, i)
"""
    number, files = served.engine.docker("exec", sandbox.name, "python3", "-c", many).split()
    assert int(number) == errno.ENOSPC
    assert 0 < int(files) <= 16 * MIB // 8192
    served.engine.docker("exec", neighbour.name, "sh", "-c", "echo fine > /workspace/mine")
    ada.delete(sandbox.name)
    ada.delete(neighbour.name)


def test_logs_are_what_init_wrote(ada: Caller, served: ServedSandboxes) -> None:
    name = ada.create().name
    served.engine.docker("exec", name, "sh", "-c", "echo not mine")  # a command's output is the command's
    assert list(ada.sandboxes.GetSandboxLogs(Request.GetSandboxLogsRequest(name=name), timeout=10)) == []
    ada.delete(name)


def test_a_local_run_is_recorded(ada: Caller, served: ServedSandboxes) -> None:
    report = {"agent": "agent-1", "agent_type": "nobody", "reason": "ENGINE_UNAVAILABLE: none", "program": "python3"}
    answer = ada.sandboxes.ReportLocalRun(Request.ReportLocalRunRequest(**report))
    assert len(answer.entry_id) == 36
    agent = served.agent("agent-2", "sb-abcdefghijkl")
    call = lambda: agent.sandboxes.ReportLocalRun(Request.ReportLocalRunRequest(**report))  # noqa: E731
    assert refused(call)["reason"] == "CALLER_NOT_ALLOWED"


def test_the_hosts_network_is_had_where_it_is_permitted_and_said_to_be_ungated(engine: EngineInUse) -> None:
    with served_sandboxes(engine, allow_host_network="true") as served:
        ada = served.operator()
        sandbox = ada.create(network_mode="NETWORK_MODE_HOST")
        assert (sandbox.network_mode, sandbox.gated) == (sandbox_pb2.NETWORK_MODE_HOST, False)
        assert any("no gate" in warning for warning in sandbox.warnings)
        interfaces = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
        plain = engine.docker("run", "--rm", "--network", "host", AGENT_IMAGE, "python3", "-c", interfaces)
        assert ada.python(sandbox.name, interfaces).strip() == plain
        update = Request.UpdateSandboxRequest(
            name=sandbox.name, update_mask={"paths": ["network_mode"]}, network_mode="NETWORK_MODE_ISOLATED"
        )
        assert refused(lambda: ada.sandboxes.UpdateSandbox(update))["reason"] == "INVALID_REQUEST"


def test_a_change_that_the_engine_refuses_is_told_in_its_words(ada: Caller) -> None:
    name = ada.create().name
    ada.run(name, "sh", "-c", "head -c 100M /dev/zero > /dev/shm/x; head -c 100M /dev/zero > /tmp/x")
    update = Request.UpdateSandboxRequest(
        name=name, update_mask={"paths": ["limits"]}, limits={"memory_bytes": 33 * MIB}
    )
    found = refused(lambda: ada.sandboxes.UpdateSandbox(update))
    assert (found["code"], found["reason"]) == ("FAILED_PRECONDITION", "ENGINE_REFUSED")
    assert ada.get(name).limits.memory_bytes == 512 * MIB
    ada.delete(name)


def test_a_caller_that_goes_away_leaves_no_sandbox(served: ServedSandboxes, ada: Caller) -> None:
    before = served.containers()
    request = Request.CreateSandboxRequest(agent="agent-1", agent_type="nobody", network_mode="NETWORK_MODE_ISOLATED")
    for seconds in (0.01, 0.05, 0.1):
        with pytest.raises(grpc.RpcError):
            ada.sandboxes.CreateSandbox(request, timeout=seconds)
    eventually(lambda: not _unsettled(ada) and served.containers() == before, seconds=15)


def test_a_caller_that_can_come_back_finds_its_sandbox(ada: Caller) -> None:
    request = Request.CreateSandboxRequest(
        agent="agent-1", agent_type="nobody", network_mode="NETWORK_MODE_ISOLATED", request_id="come-back"
    )
    with pytest.raises(grpc.RpcError):
        ada.sandboxes.CreateSandbox(request, timeout=0.05)
    sandbox = ada.sandboxes.CreateSandbox(request).sandbox
    assert sandbox.state == sandbox_pb2.SANDBOX_STATE_RUNNING
    ada.delete(sandbox.name)


def _unsettled(caller: Caller) -> list[str]:
    """Sandboxes that start or end."""
    states = ["SANDBOX_STATE_STARTING", "SANDBOX_STATE_ENDING"]
    request = Request.ListSandboxesRequest(filter={"states": states})
    return [sandbox.name for sandbox in caller.sandboxes.ListSandboxes(request).sandboxes]
