"""Profiles: for each agent type, the ceilings that no request may pass."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Tier

DEFAULT = "default"
PREFIX = "qe-"

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True)
class Profile:
    """The ceilings of one agent type. `sandbox_class` is where its figures come from."""

    name: str
    sandbox_class: str
    limits: Limits
    tier: Tier
    network_mode: NetworkMode
    aliases: tuple[str, ...] = ()


class Catalogue:
    """All profiles, by agent type and alias."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._profiles = {profile.name: profile for profile in profiles}
        self._aliases = {alias: p.name for p in self._profiles.values() for alias in p.aliases}

    def find(self, agent_type: str) -> tuple[Profile, bool]:
        """The profile for a type, with or without its `qe-` prefix, and whether the type has one of its own."""
        bare = agent_type.removeprefix(PREFIX)
        found = self._profiles.get(self._aliases.get(bare, bare))
        return (found, True) if found else (self._profiles[DEFAULT], False)

    def all(self) -> list[Profile]:
        """`default` first, then by name."""
        return sorted(self._profiles.values(), key=lambda profile: (profile.name != DEFAULT, profile.name))

    def held_to(self, host: Limits) -> "Catalogue":
        """The same profiles with no ceiling above what `host` has."""
        return Catalogue(replace(p, limits=lesser(p.limits, host)) for p in self._profiles.values())


def lesser(limits: Limits, host: Limits) -> Limits:
    """`limits`, held to the host's cores and memory."""
    return replace(limits, cpu=min(limits.cpu, host.cpu), memory=min(limits.memory, host.memory))


def catalogue(document: Mapping[str, Any]) -> Catalogue:
    """Read the catalogue from `profiles.yaml`'s document. Raises ValueError that names the place."""
    aliases: dict[str, list[str]] = {}
    for alias, name in document.get("aliases", {}).items():
        aliases.setdefault(name, []).append(alias)
    profiles = [_profile(DEFAULT, DEFAULT, document["default"], ())]
    for sandbox_class, names in document["types"].items():
        figures = document["classes"][sandbox_class]
        profiles += [_profile(name, sandbox_class, figures, tuple(aliases.get(name, ()))) for name in names]
    return Catalogue(profiles)


def _profile(name: str, sandbox_class: str, figures: Mapping[str, Any], aliases: tuple[str, ...]) -> Profile:
    try:
        return Profile(
            name=name,
            sandbox_class=sandbox_class,
            limits=Limits(
                cpu=float(figures["cpu"]),
                memory=parse_bytes(figures["memory"]),
                disk=parse_bytes(figures["disk"]),
                pids=int(figures["pids"]),
            ),
            tier=Tier[figures["tier"]],
            network_mode=NetworkMode[figures["network_mode"]],
            aliases=aliases,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"profiles: class {sandbox_class!r}: {error!r}") from error


def parse_bytes(text: str | int) -> int:
    """Bytes of "512m", "2g", "1024". Raises ValueError."""
    match = re.fullmatch(r"(\d+)([kmgt]?)", str(text).lower())
    if not match:
        raise ValueError(f"{text!r} is no size; write it like 512m or 2g")
    return int(match[1]) * _UNITS.get(match[2], 1)
