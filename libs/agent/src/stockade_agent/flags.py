"""Feature flags that tighten the walls of some agents: what they are, their file, and who falls under one.

    {"flags": {"sandbox-required": {"test-generator": 25, "default": 0}}}

says that 25 % of the agents of type test-generator never run unsandboxed, and that other types are as before. A flag
adds a wall to those that stand; none takes one away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

DEFAULT_TYPE = "default"
_POINTS = 10_000
"""Buckets that agents fall into: one is a hundredth of a percent."""


class FlagsInvalid(ValueError):
    """The file of flags is not one: the message names the place and the mend."""


@dataclass(frozen=True)
class Walls:
    """The walls that flags can raise around an agent."""

    sandbox_required: bool = False
    """`execute_in_sandbox` has no fallback."""
    policy_enforced: bool = False
    """What passes only because the policy's mode is REPORT is refused."""
    cache_off: bool = False
    """`embed` computes everything itself: no text's vector is shared."""
    audit_required: bool = False
    """Each task and request is claimed on the record before it begins, and does not begin without."""

    def __or__(self, other: Walls) -> Walls:
        """The walls that stand in either."""
        return Walls(*(getattr(self, each.name) or getattr(other, each.name) for each in fields(self)))


FLAGS = {each.name.replace("_", "-"): each.name for each in fields(Walls)}
"""The flags by name, and the wall that each raises."""
ALL_UP = Walls(*(True for _ in FLAGS))


@dataclass(frozen=True)
class Explanation:
    """Whether a flag holds for an agent, and why: `bucket` < `percent` of 100, by the rule of `rule`."""

    flag: str
    on: bool
    rule: str
    percent: float
    bucket: float


def bucket(flag: str, agent: str) -> int:
    """Where an agent stands in a flag's roll-out, 0 to 9999: by hash, so that it is the same everywhere and always."""
    digest = hashlib.sha256(f"{flag}\0{agent}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _POINTS


@dataclass(frozen=True)
class FlagSet:
    """What a file says: for each flag, the percentage of each agent type."""

    shares: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, path: Path) -> FlagSet:
        """From a file. Raises FlagsInvalid, also where there is none."""
        try:
            return cls.parse(path.read_bytes())
        except (OSError, FlagsInvalid) as error:
            raise FlagsInvalid(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error

    @classmethod
    def parse(cls, text: bytes) -> FlagSet:
        """From JSON. Raises FlagsInvalid: one wrong place spoils all, lest half of a change be taken for the whole."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise FlagsInvalid(f"no JSON: {error}") from error
        flags = document.get("flags") if isinstance(document, dict) else None
        if not isinstance(flags, dict) or len(document) != 1:
            raise FlagsInvalid('give one object {"flags": {…}}')
        return cls({flag: _shares(flag, shares) for flag, shares in flags.items()})

    def explain(self, flag: str, agent: str, agent_type: str) -> Explanation:
        """How `flag` falls for an agent: by the share of its type, else of `default`, else it is off."""
        shares = self.shares.get(flag, {})
        rule = next((name for name in (agent_type, DEFAULT_TYPE) if name in shares), "")
        percent, place = shares.get(rule, 0.0), bucket(flag, agent)
        return Explanation(flag, place < percent * _POINTS / 100, rule, percent, place * 100 / _POINTS)


def _shares(flag: str, shares: object) -> dict[str, float]:
    if flag not in FLAGS:
        raise FlagsInvalid(f"{flag}: no such flag; there are {', '.join(FLAGS)}")
    if not isinstance(shares, dict):
        raise FlagsInvalid(f'{flag}: give percentages by agent type, e.g. {{"{DEFAULT_TYPE}": 10}}')
    for agent_type, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 100:
            raise FlagsInvalid(f"{flag}.{agent_type}: {share!r} is no percentage from 0 to 100")
    return {agent_type: float(share) for agent_type, share in shares.items()}
