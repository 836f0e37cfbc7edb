"""Reads a policy from plain values, wherever they were written, and finds every mistake at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from stockade_network_policy.domain.errors import Mistake
from stockade_network_policy.domain.hostname import PatternInvalid, canonical_pattern
from stockade_network_policy.domain.policy import USUAL_PORTS, Limits, Mode, Policy

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)
MOST_DOMAINS = 100_000

_NUMBERS = {  # field: smallest, largest, and its value where it may be left out
    "requests_per_minute": (1, 1_000_000, None),
    "requests_per_hour": (1, 10_000_000, None),
    "burst_size": (1, 1_000_000, None),
    "max_tunnels": (0, 100_000, 0),
    "bytes_per_hour": (0, 1 << 50, 0),
    "tunnel_lifetime_s": (0, 604_800, 0),
}
FIELDS = frozenset(("allowed_domains", "allowed_ports", "audit_logging", "block_unknown_domains", "mode", *_NUMBERS))

Report = Callable[[str, str, str], None]
"""Takes a mistake: field, message, mend."""


def read_policy(agent_type: str, values: Mapping[str, Any]) -> tuple[Policy | None, list[Mistake]]:
    """The policy that the values describe, or None and every mistake in them."""
    mistakes: list[Mistake] = []

    def report(field: str, message: str, mend: str) -> None:
        mistakes.append(Mistake(field=field, message=message, mend=mend))

    if not NAME.fullmatch(agent_type):
        report(
            "agent_type", f"{agent_type!r} is no name", "use lower-case letters, digits, '.', '_' and '-', 63 at most"
        )
    for unknown in values.keys() - FIELDS:
        report(str(unknown), f"there is no field {unknown}", _suggestion(str(unknown)))
    policy = Policy(
        agent_type=agent_type,
        allowed_domains=_domains(values.get("allowed_domains"), report),
        allowed_ports=_ports(values.get("allowed_ports", list(USUAL_PORTS)), report),
        limits=Limits(**{name: _number(name, values, report) for name in _NUMBERS}),
        mode=_mode(values.get("mode", "ENFORCE"), report),
        audit_logging=_switch("audit_logging", values, report),
        block_unknown_domains=_switch("block_unknown_domains", values, report),
    )
    return (None if mistakes else policy), mistakes


def _suggestion(unknown: str) -> str:
    close = get_close_matches(unknown, FIELDS, n=1)
    return f"did you mean {close[0]}?" if close else f"the fields are {', '.join(sorted(FIELDS))}"


def _domains(written: object, report: Report) -> tuple[str, ...]:
    if not isinstance(written, list | tuple):
        report("allowed_domains", "the list of domains is missing", "write a list; [] allows none")
        return ()
    if len(written) > MOST_DOMAINS:
        report(
            "allowed_domains",
            f"{len(written)} domains are more than {MOST_DOMAINS}",
            "use *.x.com for names below x.com",
        )
        return ()
    return tuple(sorted(set(_patterns(written, report))))


def _patterns(written: list[Any] | tuple[Any, ...], report: Report) -> Iterator[str]:
    for index, text in enumerate(written):
        try:
            if not isinstance(text, str):
                raise PatternInvalid(f"{text!r} is not text", "write a host name, in quotes")
            yield canonical_pattern(text)
        except PatternInvalid as error:
            report(f"allowed_domains[{index}]", str(error), error.mend)


def _ports(written: object, report: Report) -> tuple[int, ...]:
    if not isinstance(written, list | tuple) or not written or len(written) > 64:
        report("allowed_ports", "the ports are a list of 1 to 64 numbers", "leave it out for 80 and 443")
        return ()
    for index, port in enumerate(written):
        if not _is_whole(port) or not 1 <= port <= 65535:
            report(f"allowed_ports[{index}]", f"{port!r} is no port", "write a number from 1 to 65535")
    return tuple(sorted(set(filter(_is_whole, written))))


def _number(name: str, values: Mapping[str, Any], report: Report) -> int:
    smallest, largest, default = _NUMBERS[name]
    number = values.get(name, default)
    if number is None:
        report(name, "it is missing", f"write a number from {smallest} to {largest}")
    elif not _is_whole(number) or not smallest <= number <= largest:
        report(name, f"{number!r} is out of range", f"write a whole number from {smallest} to {largest}")
    else:
        return int(number)
    return smallest


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _mode(written: object, report: Report) -> Mode:
    try:
        return Mode(str(written))
    except ValueError:
        report("mode", f"{written!r} is no mode", "write ENFORCE or REPORT")
        return Mode.ENFORCE


def _switch(name: str, values: Mapping[str, Any], report: Report) -> bool:
    written = values.get(name, True)
    if not isinstance(written, bool):
        report(name, f"{written!r} is neither true nor false", "write true or false")
    return written is not False
