"""Traces of what is asked of a cache, and the share of it that a shelf answers.

Both are made from a seed: popularity after Zipf over a working set of 10,000 texts, as functions of a code base are
asked for; the second has scans in it, an agent that reads through everything once.
"""

from collections.abc import Callable, Iterator

import numpy as np
from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.eviction import Shelf
from stockade_embedding_cache.domain.vector import Dtype, Format

WORKING_SET, ASKED = 10_000, 200_000
ZIPF = 1.0
SCANS, SCAN = 8, 5_000
_ENTRY = Entry(Format(1, Dtype.F32), b"1234", "agent/a", 0.0, 1e12)


def popular(seed: int = 1) -> Iterator[bytes]:
    """Texts by popularity."""
    weights = 1 / np.arange(1, WORKING_SET + 1) ** ZIPF
    asked = np.random.default_rng(seed).choice(WORKING_SET, size=ASKED, p=weights / weights.sum())
    return (b"%d" % text for text in asked)


def scanned(seed: int = 2) -> Iterator[bytes]:
    """Texts by popularity, and now and then 5,000 others, each once."""
    for i, text in enumerate(popular(seed)):
        yield text
        if i % (ASKED // SCANS) == 0:
            yield from (b"scan %d %d" % (i, step) for step in range(SCAN))


def hit_rate(trace: Iterator[bytes], make: Callable[[], Shelf], places: int) -> float:
    """The share of a trace, in percent, that a shelf with so many places answers; scans never count."""
    shelf, hits, asked = make(), 0, 0
    for text in trace:
        counted = not text.startswith(b"scan")
        asked += counted
        if shelf.get(text) is not None:
            hits += counted
            continue
        if len(shelf) >= places:
            shelf.evict()
        shelf.put(text, _ENTRY)
    return 100 * hits / asked
