"""Whether a request may be, and what it gets."""

from dataclasses import fields, replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from stockade_sandbox.domain import admission, errors
from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.profile import catalogue
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Request, Sandbox, State, Tier
from stockade_sandbox.settings import PROFILES

PROFILES_SHIPPED = catalogue(yaml.safe_load(PROFILES.read_text()))
RULES = Rules(
    default_image="stockade/agent:latest",
    images=("stockade/*", "registry.example/python@sha256:*"),
    tiers=frozenset({Tier.RUNC}),
    accept_lower_tier=False,
    allow_host_network=False,
    default_lifetime=3600.0,
    max_lifetime=86400.0,
    default_idle_timeout=900.0,
    sandboxes_per_owner=2,
    sandboxes_per_node=3,
)
BOTH = replace(RULES, tiers=frozenset({Tier.RUNC, Tier.GVISOR}))
REQUEST = Request(agent="a", agent_type="test-generator")


def planned(request: Request, rules: Rules = BOTH) -> admission.Plan:
    profile, known = PROFILES_SHIPPED.find(request.agent_type)
    return admission.plan(request, profile, known, rules)


def test_what_is_not_asked_is_the_profiles_and_the_servers() -> None:
    plan = planned(REQUEST)
    assert plan.limits == PROFILES_SHIPPED.find("test-generator")[0].limits
    assert (plan.image, plan.network_mode, plan.tier) == (RULES.default_image, NetworkMode.WHITELISTED, Tier.RUNC)
    assert (plan.lifetime, plan.idle_timeout, plan.warnings) == (3600.0, 900.0, ())


@given(
    st.sampled_from([profile.name for profile in PROFILES_SHIPPED.all()]),
    st.builds(
        Limits,
        cpu=st.floats(0, 8),
        memory=st.integers(0, 8 << 30),
        disk=st.integers(0, 4 << 30),
        pids=st.integers(0, 2048),
    ),
    st.sampled_from([None, *NetworkMode]),
    st.sampled_from([None, *Tier]),
)
def test_no_request_gets_more_than_its_profile(
    agent_type: str, limits: Limits, mode: NetworkMode | None, tier: Tier | None
) -> None:
    profile, _ = PROFILES_SHIPPED.find(agent_type)
    request = Request(agent="a", agent_type=agent_type, limits=limits, network_mode=mode, least_tier=tier)
    try:
        plan = planned(request)
    except (errors.LimitAboveProfile, errors.NetworkModeNotAllowed):
        return
    for field in fields(Limits):
        got, asked = getattr(plan.limits, field.name), getattr(limits, field.name)
        assert 0 < got <= getattr(profile.limits, field.name)
        assert not asked or got == asked
    assert plan.network_mode <= profile.network_mode
    assert plan.tier >= max(profile.tier, tier or profile.tier)


REFUSED: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "more memory": ({"limits": Limits(memory=3 << 30)}, errors.LimitAboveProfile),
    "host network": ({"network_mode": NetworkMode.HOST}, errors.NetworkModeNotAllowed),
    "a whole day and a second": ({"lifetime": 86401.0}, errors.LimitAboveProfile),
    "idle for longer than a day": ({"idle_timeout": 86401.0}, errors.LimitAboveProfile),
    "an image off the list": ({"image": "python:3"}, errors.ImageNotAllowed),
    "an image by another digest's name": ({"image": "registry.example/python:latest"}, errors.ImageNotAllowed),
    "a wider network than default's": (
        {"agent_type": "stranger", "network_mode": NetworkMode.WHITELISTED},
        errors.LimitAboveProfile,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    fields_, error = REFUSED[name]
    with pytest.raises(error):
        planned(replace(REQUEST, **fields_))


def test_host_network_is_said_to_be_ungated() -> None:
    plan = planned(replace(REQUEST, network_mode=NetworkMode.HOST), replace(BOTH, allow_host_network=True))
    assert "no gate" in plan.warnings[0]


def test_a_default_lifetime_never_passes_the_maximum() -> None:
    assert planned(REQUEST, replace(BOTH, max_lifetime=60.0)).lifetime == 60.0
    assert planned(replace(REQUEST, lifetime=0.0)).lifetime == 3600.0  # zero is absent, never for ever


def test_gvisor_has_no_network_card_of_the_hosts() -> None:
    wanted = replace(REQUEST, network_mode=NetworkMode.HOST, least_tier=Tier.GVISOR)
    with pytest.raises(errors.NetworkModeNotAllowed, match="network card"):
        planned(wanted, replace(BOTH, allow_host_network=True))


TIERS: dict[str, tuple[Tier, Tier | None, Rules, Tier | None]] = {
    "the weakest that is enough": (Tier.RUNC, None, BOTH, Tier.RUNC),
    "the caller wants more": (Tier.RUNC, Tier.GVISOR, BOTH, Tier.GVISOR),
    "the caller wants less than the profile": (Tier.GVISOR, Tier.RUNC, BOTH, Tier.GVISOR),
    "the profile wants what is not there": (Tier.GVISOR, None, RULES, None),
    "the operator accepts less": (Tier.GVISOR, None, replace(RULES, accept_lower_tier=True), Tier.RUNC),
    "the caller does not": (Tier.GVISOR, Tier.GVISOR, replace(RULES, accept_lower_tier=True), None),
}


@pytest.mark.parametrize("name", TIERS)
def test_tiers(name: str) -> None:
    least, asked, rules, expected = TIERS[name]
    if expected is None:
        with pytest.raises(errors.TierUnavailable):
            admission.chosen_tier(least, asked, rules)
    else:
        assert admission.chosen_tier(least, asked, rules) is expected


def living(owner: str = "operator/ada", cpu: float = 1.0, cpus: tuple[int, ...] = (0,)) -> Sandbox:
    limits = Limits(cpu=cpu, memory=1 << 30, disk=1 << 20, pids=16)
    return Sandbox(
        name="sb-x", uid=1, state=State.RUNNING, image="i", limits=limits, tier=Tier.RUNC, cpus=cpus, owner=owner
    )


PINS: dict[str, tuple[float, list[Sandbox], tuple[int, ...]]] = {
    "an empty host": (1.0, [], (0,)),
    "a busy core": (1.0, [living(cpus=(0,))], (1,)),
    "a fraction needs a whole core": (0.5, [living(cpus=(0,))], (1,)),
    "more than a core": (1.5, [], (0, 1)),
    "more than the host": (9.0, [], (0, 1, 2)),
    "the least promised": (1.0, [living(cpu=1, cpus=(0, 1, 2)), living(cpu=0.1, cpus=(0,)), living(cpus=(1,))], (2,)),
}


@pytest.mark.parametrize("name", PINS)
def test_pins(name: str) -> None:
    cpu, taken, expected = PINS[name]
    assert admission.pin(cpu, [0, 1, 2], taken) == expected


def test_changes_are_held() -> None:
    profile, _ = PROFILES_SHIPPED.find("test-generator")
    sandbox = living(cpu=1.0)
    changed = admission.held_change(sandbox, Limits(memory=2 << 30), profile)
    assert changed == replace(sandbox.limits, memory=2 << 30)
    for asked in (Limits(disk=1 << 30), Limits(cpu=2.0)):
        with pytest.raises(errors.FieldNotMutable):
            admission.held_change(sandbox, asked, profile)
    with pytest.raises(errors.LimitAboveProfile):
        admission.held_change(sandbox, Limits(memory=3 << 30), profile)
    with pytest.raises(errors.FieldNotMutable):
        admission.held_mode_change(sandbox, NetworkMode.HOST, profile, replace(RULES, allow_host_network=True))
