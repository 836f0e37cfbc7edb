"""Whether a request for a sandbox may be, and what exactly it gets. Pure: the same facts give the same plan."""

import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from stockade_sandbox.domain.errors import (
    FieldNotMutable,
    ImageNotAllowed,
    LimitAboveProfile,
    NetworkModeNotAllowed,
    TierUnavailable,
)
from stockade_sandbox.domain.profile import Profile
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Request, Sandbox, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator permits on this node. Times in seconds."""

    default_image: str
    images: tuple[str, ...]
    """Shell patterns of images that may run."""
    tiers: frozenset[Tier]
    accept_lower_tier: bool
    allow_host_network: bool
    default_lifetime: float
    max_lifetime: float
    default_idle_timeout: float
    sandboxes_per_owner: int
    sandboxes_per_node: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request comes to: every figure set."""

    image: str
    limits: Limits
    tier: Tier
    network_mode: NetworkMode
    lifetime: float
    idle_timeout: float
    warnings: tuple[str, ...]


_FIELDS = {"cpu": "limits.cpu", "memory": "limits.memory_bytes", "disk": "limits.disk_bytes", "pids": "limits.pids"}


def plan(request: Request, profile: Profile, known: bool, rules: Rules) -> Plan:
    """Hold a request to its profile and to the node's rules.

    Order: image, limits, network mode, times, tier. The first that refuses speaks.
    Raises ImageNotAllowed, LimitAboveProfile, NetworkModeNotAllowed, TierUnavailable.
    """
    warnings = [] if known else [f"agent type {request.agent_type!r} has no profile: it got {profile.name!r}"]
    image = held_image(request.image or rules.default_image, rules)
    limits = held_limits(request.limits, profile)
    mode = held_mode(request.network_mode, profile, rules)
    lifetime = held_time("lifetime", request.lifetime, rules.default_lifetime, rules.max_lifetime)
    idle = held_time("idle_timeout", request.idle_timeout, rules.default_idle_timeout, rules.max_lifetime)
    tier = chosen_tier(profile.tier, request.least_tier, rules)
    if mode is NetworkMode.HOST and tier is Tier.GVISOR:
        raise NetworkModeNotAllowed(mode, "tier GVISOR has no network card, the host's neither")
    if tier < profile.tier:
        warnings.append(f"tier {tier.name} is less than the {profile.tier.name} of profile {profile.name!r}")
    if mode is NetworkMode.HOST:
        warnings.append("network mode HOST: no gate stands in front of this sandbox")
    return Plan(
        image=image,
        limits=limits,
        tier=tier,
        network_mode=mode,
        lifetime=lifetime,
        idle_timeout=idle,
        warnings=tuple(warnings),
    )


def held_image(image: str, rules: Rules) -> str:
    """The image, if a pattern of the node's list matches it."""
    if not any(fnmatch.fnmatchcase(image, pattern) for pattern in rules.images):
        raise ImageNotAllowed(image)
    return image


def held_limits(asked: Limits, profile: Profile) -> Limits:
    """What was asked, the profile's ceiling where nothing was. Raises LimitAboveProfile."""
    figures = {}
    for field in fields(Limits):
        wanted, ceiling = getattr(asked, field.name), getattr(profile.limits, field.name)
        if wanted > ceiling:
            raise LimitAboveProfile(_FIELDS[field.name], wanted, ceiling, profile.name)
        figures[field.name] = wanted or ceiling
    return Limits(**figures)


def held_mode(asked: NetworkMode | None, profile: Profile, rules: Rules) -> NetworkMode:
    """The mode asked for, the profile's where none was. HOST hangs on the server's configuration alone."""
    mode = asked or profile.network_mode
    if mode is NetworkMode.HOST:
        if not rules.allow_host_network:
            raise NetworkModeNotAllowed(mode)
    elif mode > profile.network_mode:
        raise LimitAboveProfile("network_mode", mode.name, profile.network_mode.name, profile.name)
    return mode


def held_time(field: str, asked: float | None, default: float, most: float) -> float:
    """Seconds asked for; absent, or zero, means the default, never for ever."""
    if (asked or 0.0) > most:
        raise LimitAboveProfile(field, f"{asked:g}s", f"{most:g}s", "of this server")
    return asked or min(default, most)


def chosen_tier(least: Tier, asked: Tier | None, rules: Rules) -> Tier:
    """The weakest tier of this node that is strong enough for profile and caller. Raises TierUnavailable.

    A caller's own wish is never lowered; the profile's is where the operator accepts that.
    """
    wanted = max(least, asked or least)
    enough = [tier for tier in rules.tiers if tier >= wanted]
    if enough:
        return min(enough)
    strongest = max(rules.tiers, default=Tier.NAMESPACE)
    if rules.accept_lower_tier and strongest in rules.tiers and strongest >= (asked or strongest):
        return strongest
    raise TierUnavailable(wanted, strongest)


def pin(cpu: float, cores: Sequence[int], taken: Iterable[Sandbox]) -> tuple[int, ...]:
    """The cores for a sandbox of `cpu` cores: as many as it needs, those promised least so far."""
    promised = dict.fromkeys(cores, 0.0)
    for sandbox in taken:
        for core in sandbox.cpus:
            promised[core] = promised.get(core, 0.0) + sandbox.limits.cpu / len(sandbox.cpus)
    wanted = min(math.ceil(cpu), len(cores))
    return tuple(sorted(sorted(cores, key=lambda core: (promised[core], core))[:wanted]))


def held_change(sandbox: Sandbox, asked: Limits, profile: Profile) -> Limits:
    """A living sandbox's limits with what is asked in place; 0 stays as it is.

    Raises LimitAboveProfile, FieldNotMutable (disk, and cores beyond those it is pinned to).
    """
    if asked.disk not in (0, sandbox.limits.disk):
        raise FieldNotMutable("limits.disk_bytes", "create a sandbox with the disk that it needs")
    if asked.cpu > len(sandbox.cpus):
        raise FieldNotMutable("limits.cpu", f"it is pinned to {len(sandbox.cpus)} core(s); ask for as many or less")
    kept = {field.name: getattr(asked, field.name) or getattr(sandbox.limits, field.name) for field in fields(Limits)}
    return held_limits(Limits(**kept), profile)


def held_mode_change(sandbox: Sandbox, asked: NetworkMode, profile: Profile, rules: Rules) -> NetworkMode:
    """A living sandbox's new network mode; a network card cannot come or go, so HOST stays HOST."""
    if (asked is NetworkMode.HOST) != (sandbox.network_mode is NetworkMode.HOST):
        raise FieldNotMutable("network_mode", "HOST is chosen when a sandbox is created")
    return held_mode(asked, profile, rules)
