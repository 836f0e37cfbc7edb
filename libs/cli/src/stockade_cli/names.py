"""Enum values of the contract as people read them."""

from typing import Any


def short_name(enum: Any, value: int) -> str:
    """The name of `value` without the prefix that all values of its enum share: TIER_RUNC as "RUNC"."""
    prefix: str = enum.Name(0).removesuffix("UNSPECIFIED")
    name: str = enum.Name(value)
    return name.removeprefix(prefix)
