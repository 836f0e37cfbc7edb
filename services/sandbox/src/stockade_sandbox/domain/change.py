"""What a caller may change of a sandbox that lives, held to its profile and the node's rules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stockade_sandbox.domain.admission import Rules, held_change, held_mode_change, held_time
from stockade_sandbox.domain.profile import Profile
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What UpdateSandbox changes; None leaves a thing as it is. Limits of 0 stay as they are."""

    lifetime: float | None = None
    idle_timeout: float | None = None
    limits: Limits | None = None
    network_mode: NetworkMode | None = None
    allowed_domains: tuple[str, ...] | None = None
    labels: Mapping[str, str] | None = None


def changed(sandbox: Sandbox, change: Change, profile: Profile, rules: Rules, now: float) -> Sandbox:
    """`sandbox` as it is wanted; a lifetime counts from `now`.

    Raises LimitAboveProfile, FieldNotMutable, NetworkModeNotAllowed.
    """
    wanted = sandbox
    if change.lifetime is not None:
        lifetime = held_time("lifetime", change.lifetime, rules.default_lifetime, rules.max_lifetime)
        wanted = replace(wanted, expires_at=now + lifetime)
    if change.idle_timeout is not None:
        idle = held_time("idle_timeout", change.idle_timeout, rules.default_idle_timeout, rules.max_lifetime)
        wanted = replace(wanted, idle_timeout=idle)
    if change.limits is not None:
        wanted = replace(wanted, limits=held_change(sandbox, change.limits, profile))
    if change.network_mode is not None:
        wanted = replace(wanted, network_mode=held_mode_change(sandbox, change.network_mode, profile, rules))
    if change.allowed_domains is not None:
        wanted = replace(wanted, allowed_domains=change.allowed_domains)
    return wanted if change.labels is None else replace(wanted, labels=change.labels)
