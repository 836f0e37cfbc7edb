"""Every profile as the engine and the kernel hold it, and as the service tells it; and no request passes it."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from stockade.sandbox.v1 import profile_service_pb2 as pb
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2
from stockade_rpckit.errors import details_of
from stockade_sandbox.domain.profile import Profile, catalogue
from stockade_sandbox.settings import PROFILES

from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, refused, served_sandboxes

pytestmark = pytest.mark.docker

SHIPPED = catalogue(yaml.safe_load(PROFILES.read_text())).all()
ONE_OF_EACH_CLASS = list({profile.sandbox_class: profile.name for profile in SHIPPED}.values())


@pytest.fixture(scope="module")
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service whose operator accepts a lower tier for the types that want gVisor."""
    with served_sandboxes(engine, accept_lower_tier="true") as running:
        yield running


def test_they_are_told_in_pages(ada: Caller) -> None:
    names: list[str] = []
    token = ""
    while True:
        page = ada.profiles.ListProfiles(pb.ListProfilesRequest(page_size=40, page_token=token))
        names += [profile.name for profile in page.profiles]
        token = page.next_page_token
        if not token:
            break
    assert names == [profile.name for profile in SHIPPED]


def test_a_type_is_told_with_its_alias_and_a_stranger_gets_default(ada: Caller) -> None:
    found = ada.profiles.GetProfile(pb.GetProfileRequest(name="qe-accessibility-ally"))
    assert (found.profile.name, list(found.profile.aliases), found.known) == ("a11y-ally", ["accessibility-ally"], True)
    found = ada.profiles.GetProfile(pb.GetProfileRequest(name="stranger"))
    assert (found.profile.name, found.known) == ("default", False)
    assert refused(lambda: ada.profiles.GetProfile(pb.GetProfileRequest(name="A B")))["reason"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(ONE_OF_EACH_CLASS, id="one of each class"),
        pytest.param(
            [profile.name for profile in SHIPPED], id="all", marks=[pytest.mark.long, pytest.mark.timeout(600)]
        ),
    ],
)
def test_limits_are_the_profiles_in_docker_and_in_the_kernel(
    names: list[str], ada: Caller, served: ServedSandboxes
) -> None:
    for name in names:
        ceiling = ada.profiles.GetProfile(pb.GetProfileRequest(name=name)).profile.limits
        sandbox = ada.create(agent_type=name)
        assert sandbox.limits == ceiling, name
        container = json.loads(served.engine.docker("inspect", sandbox.name))[0]
        wall = container["HostConfig"]
        assert (wall["NanoCpus"], wall["PidsLimit"]) == (int(ceiling.cpu * 1e9), ceiling.pids), name
        assert wall["Memory"] == wall["MemorySwap"] == ceiling.memory_bytes, name
        assert wall["CpusetCpus"].count(",") + 1 == ceiling.cpu, name
        usage = ada.sandboxes.GetSandboxUsage(sandbox_service_pb2.GetSandboxUsageRequest(name=sandbox.name)).usage
        assert (usage.memory.limit_bytes, usage.pids.limit) == (ceiling.memory_bytes, ceiling.pids), name
        assert 0.9 * ceiling.disk_bytes < usage.disk.limit_bytes <= ceiling.disk_bytes, name
        assert _quota(container["State"]["Pid"]) == ceiling.cpu, name
        ada.delete(sandbox.name)


@pytest.mark.parametrize("count", [12, pytest.param(150, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_no_random_request_gets_a_weaker_wall_or_more(count: int, ada: Caller, served: ServedSandboxes) -> None:
    plain = ada.create()
    usual = _wall(served, plain.name)
    ada.delete(plain.name)
    dice = random.Random(count)
    made = 0
    for _ in range(count):
        profile = dice.choice(SHIPPED)
        request = _random_request(dice, profile)
        name, refusal = _asked(ada, request)
        if refusal:
            assert refusal in REFUSALS, request
            continue
        made += 1
        wall = _wall(served, name)
        assert {key for key, value in wall.items() if value != usual[key]} <= DIFFER, request
        limits = profile.limits
        assert 0 < wall["Memory"] == wall["MemorySwap"] <= limits.memory, request
        assert 0 < wall["NanoCpus"] <= limits.cpu * 1e9, request
        assert 0 < wall["PidsLimit"] <= limits.pids, request
        usage = ada.sandboxes.GetSandboxUsage(sandbox_service_pb2.GetSandboxUsageRequest(name=name)).usage
        assert 0 < usage.memory.limit_bytes <= limits.memory, request
        assert 0 < usage.pids.limit <= limits.pids, request
        assert 0 < usage.disk.limit_bytes <= limits.disk, request
        ada.delete(name)
    assert made >= count // 4


REFUSALS = {
    "LIMIT_ABOVE_PROFILE",
    "NETWORK_MODE_NOT_ALLOWED",
    "IMAGE_NOT_ALLOWED",
    "IMAGE_MISSING",
    "TIER_UNAVAILABLE",
    "DEPENDENCY_UNAVAILABLE",  # there is no gate here for a WHITELISTED one
    "START_FAILED",  # with too little memory for the supervisor
    "INVALID_REQUEST",
}
DIFFER = {"Memory", "MemorySwap", "NanoCpus", "PidsLimit", "CpusetCpus", "ShmSize", "Tmpfs", "Mounts", "Hostname"}
"""What a request may move, within its profile."""


def _random_request(dice: random.Random, profile: Profile) -> dict[str, Any]:
    def figure(ceiling: float) -> float:
        return dice.choice([*3 * [0], *4 * [ceiling * dice.random()], ceiling, ceiling * (1 + dice.random() / 10)])

    limits = profile.limits
    return {
        "agent_type": profile.name,
        "limits": {
            "cpu": figure(limits.cpu),
            "memory_bytes": int(figure(limits.memory)),
            "disk_bytes": int(figure(limits.disk)),
            "pids": int(figure(limits.pids)),
        },
        "network_mode": dice.choice(10 * ["NETWORK_MODE_ISOLATED"] + ["NETWORK_MODE_WHITELISTED", "NETWORK_MODE_HOST"]),
        "image": dice.choice(12 * [""] + ["debian:bookworm", "stockade/agent:latest@privileged", "docker.sock"]),
        "least_tier": dice.choice(6 * ["TIER_UNSPECIFIED", "TIER_NAMESPACE", "TIER_RUNC"] + ["TIER_GVISOR"]),
        "env": {dice.choice(["LD_PRELOAD", "PATH", "PYTHONHOME"]): dice.choice(["/workspace/evil.so", "", "x"])},
        "labels": {dice.choice(["privileged", "dev.stockade.service", "seccomp"]): dice.choice(["true", "unconfined"])},
    }


def _asked(ada: Caller, request: dict[str, Any]) -> tuple[str, str]:
    """The new sandbox's name, or why it was refused."""
    try:
        return ada.create(**request).name, ""
    except grpc.RpcError as error:
        return "", str(details_of(error)["reason"])


def _wall(served: ServedSandboxes, name: str) -> dict[str, Any]:
    """All that Docker holds of how it is confined."""
    found = json.loads(served.engine.docker("inspect", name))[0]
    config = {key: found["Config"][key] for key in ("Entrypoint", "Cmd", "WorkingDir", "Hostname", "Healthcheck")}
    return {**found["HostConfig"], **config}


def test_a_request_has_no_field_for_a_weaker_wall() -> None:
    assert set(sandbox_service_pb2.CreateSandboxRequest.DESCRIPTOR.fields_by_name) == {
        "agent", "agent_type", "image", "limits", "network_mode", "allowed_domains", "env", "lifetime", "idle_timeout",
        "least_tier", "labels", "request_id",
    }  # fmt: skip
    assert set(sandbox_pb2.Limits.DESCRIPTOR.fields_by_name) == {"cpu", "memory_bytes", "disk_bytes", "pids"}


def _quota(pid: int) -> float:
    """Cores that the kernel lets a process's cgroup use."""
    groups = dict(line.split(":")[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    unified = Path("/sys/fs/cgroup") / groups[""].lstrip("/") / "cpu.max"
    if unified.exists():
        quota, period = unified.read_text().split()
        return int(quota) / int(period)
    directory = Path("/sys/fs/cgroup/cpu") / groups[next(key for key in groups if "cpu" in key.split(","))].lstrip("/")
    return int((directory / "cpu.cfs_quota_us").read_text()) / int((directory / "cpu.cfs_period_us").read_text())
