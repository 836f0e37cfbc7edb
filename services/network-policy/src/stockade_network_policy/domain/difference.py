"""What a change of policy adds and removes: sets of hosts exactly, wildcards included, and every other field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from stockade_network_policy.domain.hostname import DomainSet, parents
from stockade_network_policy.domain.policy import Limits, Mode, Policy

_UNLIMITED_AT_ZERO = frozenset(("max_tunnels", "bytes_per_hour", "tunnel_lifetime_s"))


@dataclass(frozen=True, slots=True)
class HostSet:
    """The hosts of a pattern less those of the excepted patterns, which lie within it."""

    pattern: str
    excepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field that differs, and whether the change takes something away from agents."""

    field: str
    before: str
    after: str
    tightens: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs between two policies."""

    added: tuple[HostSet, ...]
    removed: tuple[HostSet, ...]
    fields: tuple[FieldDifference, ...]


def difference(before: Policy, after: Policy) -> Difference:
    """What the policy after has that the one before had not, and the reverse."""
    old, new = DomainSet(before.allowed_domains), DomainSet(after.allowed_domains)
    return Difference(
        added=tuple(_only_in(new, old)),
        removed=tuple(_only_in(old, new)),
        fields=tuple(_fields(before, after)),
    )


def _only_in(left: DomainSet, right: DomainSet) -> Iterator[HostSet]:
    """Hosts of `left` outside `right`: its widest patterns, each less what `right` has within it."""
    excepted: dict[str, list[str]] = {p: [] for p in _widest(left) if not right.covers(p)}
    for pattern in _widest(right):
        for parent in parents(pattern.removeprefix("*.")):
            excepted.get(f"*.{parent}", []).append(pattern)
    return (HostSet(pattern, tuple(within)) for pattern, within in excepted.items())


def _widest(domains: DomainSet) -> Iterator[str]:
    """Patterns that no other pattern of the set covers."""
    wildcards = {p[2:] for p in domains.patterns if p.startswith("*.")}
    for pattern in domains.patterns:
        if not any(parent in wildcards for parent in parents(pattern.removeprefix("*."))):
            yield pattern


def _fields(before: Policy, after: Policy) -> Iterator[FieldDifference]:
    if before.allowed_ports != after.allowed_ports:
        closed = not set(before.allowed_ports) <= set(after.allowed_ports)
        yield FieldDifference("allowed_ports", _text(before.allowed_ports), _text(after.allowed_ports), closed)
    yield from _limits(before.limits, after.limits)
    for name in ("audit_logging", "block_unknown_domains"):
        old, new = getattr(before, name), getattr(after, name)
        if old is not new:
            yield FieldDifference(name, _text(old), _text(new), name == "block_unknown_domains" and new)
    if before.mode is not after.mode:
        yield FieldDifference("mode", before.mode, after.mode, after.mode is Mode.ENFORCE)


def _limits(before: Limits, after: Limits) -> Iterator[FieldDifference]:
    for field in fields(Limits):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old != new:
            tighter = _size(field.name, new) < _size(field.name, old)
            yield FieldDifference(f"limits.{field.name}", f"{old}", f"{new}", tighter)


def _size(name: str, value: float) -> float:
    return float("inf") if value == 0 and name in _UNLIMITED_AT_ZERO else value


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower()
