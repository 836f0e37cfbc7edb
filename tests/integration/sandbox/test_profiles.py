"""Every profile as the engine and the kernel hold it, and as the service tells it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from stockade.sandbox.v1 import profile_service_pb2 as pb
from stockade.sandbox.v1 import sandbox_service_pb2
from stockade_sandbox.domain.profile import catalogue
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


def _quota(pid: int) -> float:
    """Cores that the kernel lets a process's cgroup use."""
    groups = dict(line.split(":")[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    unified = Path("/sys/fs/cgroup") / groups[""].lstrip("/") / "cpu.max"
    if unified.exists():
        quota, period = unified.read_text().split()
        return int(quota) / int(period)
    directory = Path("/sys/fs/cgroup/cpu") / groups[next(key for key in groups if "cpu" in key.split(","))].lstrip("/")
    return int((directory / "cpu.cfs_quota_us").read_text()) / int((directory / "cpu.cfs_period_us").read_text())
