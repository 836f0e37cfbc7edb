"""Landlock for the agent's processes: a second wall behind the mounts and the kernel's own rules for PID 1."""

from __future__ import annotations


class Restriction:
    """What each exec is held to, prepared once; `version` is the kernel's Landlock ABI, 0 where it has none."""

    version = 0

    def apply(self) -> None:
        """Holds the calling process and all its descendants to it, for good."""
