"""What went through the gate for each sandbox, as far as this process has seen; bounded, and lost with it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

SANDBOXES_KEPT = 5_000


@dataclass(slots=True)
class Traffic:
    """Bytes to and from the world, and how many requests were let through or refused."""

    sent: int = 0
    received: int = 0
    allowed: int = 0
    refused: int = 0


class TrafficBook:
    """The traffic of the sandboxes that asked last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Traffic] = OrderedDict()

    def of(self, sandbox: str) -> Traffic:
        """What went through so far; all zero where it never asked."""
        return self._kept.get(sandbox, Traffic())

    def decided(self, sandbox: str, allowed: bool) -> None:
        """Counts a decision."""
        traffic = self._counted(sandbox)
        traffic.allowed += allowed
        traffic.refused += not allowed

    def passed(self, sandbox: str, sent: int, received: int) -> None:
        """Counts bytes."""
        traffic = self._counted(sandbox)
        traffic.sent += sent
        traffic.received += received

    def _counted(self, sandbox: str) -> Traffic:
        traffic = self._kept.get(sandbox)
        if traffic is None:
            traffic = self._kept[sandbox] = Traffic()
            if len(self._kept) > SANDBOXES_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(sandbox)
        return traffic
