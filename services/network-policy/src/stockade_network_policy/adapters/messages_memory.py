"""Limits of messages in memory."""

from __future__ import annotations

from stockade_network_policy.domain.permits import Key, MessageLimit


class MemoryMessageLimits:
    """See `MessageLimitStore`."""

    def __init__(self) -> None:
        self._limits: dict[Key, MessageLimit] = {}

    def all(self) -> list[MessageLimit]:
        """See `MessageLimitStore`."""
        return list(self._limits.values())

    def put(self, limit: MessageLimit) -> None:
        """See `MessageLimitStore`."""
        self._limits[limit.key] = limit

    def close(self) -> None:
        """See `MessageLimitStore`."""
