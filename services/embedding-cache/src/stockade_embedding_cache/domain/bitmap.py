"""Bitmaps of the contract: bit i of byte i / 8, least significant first, stands for row i."""

from collections.abc import Sequence

import numpy as np


def pack(bits: Sequence[bool]) -> bytes:
    """A bitmap of `bits`."""
    return np.packbits(np.fromiter(bits, dtype=bool, count=len(bits)), bitorder="little").tobytes()
