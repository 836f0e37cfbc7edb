"""Which warm sandboxes a node keeps: of each class, in the tier that its profiles want."""

import pytest
import yaml
from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.errors import TierUnavailable
from stockade_sandbox.domain.profile import catalogue
from stockade_sandbox.domain.sandbox import Tier
from stockade_sandbox.pool import wanted
from stockade_sandbox.settings import PROFILES, Settings

CATALOGUE = catalogue(yaml.safe_load(PROFILES.read_text()))


def rules(*tiers: str) -> Rules:
    return Settings(tiers=tiers).rules()


def test_each_class_waits_in_its_own_tier() -> None:
    shapes = wanted(["default:2", "hostile:1", "default:1"], rules("RUNC", "GVISOR"), CATALOGUE)
    assert {(shape.tier, shape.limits.pids, count) for shape, count in shapes.items()} == {
        (Tier.RUNC, 128, 3),
        (Tier.GVISOR, 512, 1),
    }


def test_a_node_of_one_tier_has_all_in_that() -> None:
    assert {shape.tier for shape in wanted(["default:1", "std:1"], rules("GVISOR"), CATALOGUE)} == {Tier.GVISOR}


@pytest.mark.parametrize("told", ["default", "default:many", "nobody:1", "default:-1"])
def test_what_is_no_class_and_count_is_told(told: str) -> None:
    with pytest.raises(ValueError, match="class:count"):
        wanted([told], rules("RUNC"), CATALOGUE)


def test_a_class_whose_tier_the_node_has_not_is_told() -> None:
    with pytest.raises(TierUnavailable):
        wanted(["hostile:1"], rules("RUNC"), CATALOGUE)


@pytest.mark.parametrize("tiers", [("KVM",), (), ("RUNC", "NAMESPACE"), ("runc",)])
def test_tiers_that_do_not_go_together_are_told(tiers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="TIERS"):
        rules(*tiers)
