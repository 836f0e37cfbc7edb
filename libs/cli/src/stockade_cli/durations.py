"""Durations and sizes as people write them: 90s, 5m, 1h30m, 7d; 512m, 2g."""

import re
from datetime import timedelta
from typing import Any

import click

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_duration(text: str) -> timedelta:
    """`text` as a duration; raises ValueError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m, 1h30m or 7d")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def parse_bytes(text: str) -> int:
    """`text` as a number of bytes; raises ValueError."""
    found = re.fullmatch(r"(\d+)([kmgt]?)i?b?", text.lower())
    if not found:
        raise ValueError(f"{text!r} is not a size: write 512m or 2g")
    return int(found[1]) * _BYTES[found[2]]


def show_bytes(count: float) -> str:
    """1536 as "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def show_age(age: timedelta) -> str:
    """A duration in its largest unit: 45s, 12m, 5h, 3d."""
    seconds = int(age.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS[unit]:
            return f"{seconds // int(_UNITS[unit])}{unit}"
    return f"{seconds}s"


class Duration(click.ParamType[timedelta]):
    """A click parameter type that yields timedelta."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """A click parameter type that yields a number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
