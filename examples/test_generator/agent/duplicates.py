"""Near-duplicates, by what their vectors say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.93
"""Cosine from which on two functions count as the same one, written twice."""


def near_duplicates(names: Sequence[str], vectors: NDArray[np.float32]) -> dict[str, str]:
    """Each function that repeats an earlier one, with the one it repeats. `vectors` is [functions, dimensions]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors / lengths) @ (vectors / lengths).T
    repeats: dict[str, str] = {}
    for i, name in enumerate(names):
        kept = [j for j in range(i) if names[j] not in repeats]
        closest = max(kept, key=lambda j: cosines[i, j], default=None)
        if closest is not None and cosines[i, closest] >= ALIKE:
            repeats[name] = names[closest]
    return repeats
