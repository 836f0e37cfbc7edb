"""L0: the vectors that this process used last, answered without a call."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

LIFE_S = 60.0
"""How long a vector is served without asking the service: what is cleared there is gone here no later."""


class NearCache:
    """Packed vectors by key, bounded by bytes, least recently used first out. Dropped when a layer's epoch changes."""

    def __init__(
        self, max_bytes: int = 64 * 1024 * 1024, *, life_s: float = LIFE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes, self._life_s, self._clock = max_bytes, min(life_s, LIFE_S), clock
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._epochs: dict[str, int] = {}

    def get(self, key: bytes) -> bytes | None:
        """The vector under `key`, unless it is absent or has lived its life."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def put(self, key: bytes, vector: bytes) -> None:
        """Keep `vector` for a while."""
        self._drop(key)
        self._kept[key] = (self._clock() + self._life_s, vector)
        self._bytes += len(vector)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def heed(self, epochs: Mapping[str, int]) -> None:
        """Note the epochs of a reply; a layer that lost entries since the last one empties this cache."""
        if any(self._epochs.get(layer, epoch) != epoch for layer, epoch in epochs.items()):
            self._kept.clear()
            self._bytes = 0
        self._epochs.update(epochs)

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept[1])
