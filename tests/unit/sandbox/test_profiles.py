"""The catalogue that ships, and how a type finds its profile."""

import pytest
import yaml
from stockade_sandbox.domain.profile import Catalogue, catalogue, parse_bytes
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Tier
from stockade_sandbox.settings import PROFILES

MIB = 1 << 20


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return catalogue(yaml.safe_load(PROFILES.read_text()))


def test_ninety_four_types_and_default(shipped: Catalogue) -> None:
    names = [profile.name for profile in shipped.all()]
    assert len(names) == len(set(names)) == 95
    assert names[0] == "default"
    assert names[1:] == sorted(names[1:])


FOUND = {
    "test-generator": ("test-generator", True, 2, 2048, 512, 512, Tier.RUNC),
    "qe-test-generator": ("test-generator", True, 2, 2048, 512, 512, Tier.RUNC),
    "code-reviewer": ("code-reviewer", True, 1, 512, 128, 128, Tier.RUNC),
    "coverage-analyzer": ("coverage-analyzer", True, 1, 1024, 256, 256, Tier.RUNC),
    "a11y-ally": ("a11y-ally", True, 2, 4096, 2048, 1024, Tier.RUNC),
    "accessibility-ally": ("a11y-ally", True, 2, 4096, 2048, 1024, Tier.RUNC),
    "qe-accessibility-ally": ("a11y-ally", True, 2, 4096, 2048, 1024, Tier.RUNC),
    "load-tester": ("load-tester", True, 4, 4096, 1024, 1024, Tier.RUNC),
    "security-scanner": ("security-scanner", True, 2, 4096, 1024, 512, Tier.GVISOR),
    "stranger": ("default", False, 1, 512, 128, 128, Tier.RUNC),
    "qe-stranger": ("default", False, 1, 512, 128, 128, Tier.RUNC),
    "qe-qe-test-generator": ("default", False, 1, 512, 128, 128, Tier.RUNC),
}


@pytest.mark.parametrize("asked", FOUND)
def test_a_type_finds_its_profile(asked: str, shipped: Catalogue) -> None:
    profile, known = shipped.find(asked)
    limits = profile.limits
    figures = (limits.cpu, limits.memory // MIB, limits.disk // MIB, limits.pids)
    assert (profile.name, known, *figures, profile.tier) == FOUND[asked]


def test_only_default_is_isolated(shipped: Catalogue) -> None:
    isolated = [profile.name for profile in shipped.all() if profile.network_mode is NetworkMode.ISOLATED]
    assert isolated == ["default"]


def test_no_ceiling_is_above_the_hosts(shipped: Catalogue) -> None:
    held = shipped.held_to(Limits(cpu=2.0, memory=1024 * MIB, disk=1, pids=1))
    profile, _ = held.find("load-tester")
    assert profile.limits == Limits(cpu=2.0, memory=1024 * MIB, disk=1024 * MIB, pids=1024)
    assert held.find("accessibility-ally")[1]


def test_a_mistake_names_its_place() -> None:
    document = {"classes": {"small": {"cpu": "many"}}, "types": {"small": ["a"]}, "default": {}}
    with pytest.raises(ValueError, match="default"):
        catalogue(document)


@pytest.mark.parametrize(("text", "size"), [("512m", 512 * MIB), ("2g", 2048 * MIB), ("1024", 1024), ("4K", 4096)])
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1m", "1.5g", "1 g", "1gb"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="like 512m"):
        parse_bytes(text)
