"""Vectors as the cache keeps them: little-endian f32 or f16, or int8 behind an f32 scale."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SCALE_BYTES = 4
_INT8_MOST = 127


def row_bytes(dimensions: int, dtype: str) -> int:
    """Bytes that one packed vector takes."""
    return {"f32": 4 * dimensions, "f16": 2 * dimensions, "int8": _SCALE_BYTES + dimensions}[dtype]


def pack(vectors: "ArrayLike", dtype: str) -> bytes:
    """Rows of numbers, [rows, dimensions], packed one behind the other.

    int8 is symmetric: a row's scale is its largest magnitude / 127, each number is rounded to the nearest step.
    """
    numbers = np.ascontiguousarray(vectors, dtype="<f4")
    if dtype == "f32":
        return numbers.tobytes()
    if dtype == "f16":
        return numbers.astype("<f2").tobytes()
    scales = np.abs(numbers).max(axis=1, keepdims=True) / np.float32(_INT8_MOST)
    steps = np.rint(numbers / np.where(scales > 0, scales, 1)).astype(np.int8)
    return np.hstack([scales.astype("<f4").view(np.uint8), steps.view(np.uint8)]).tobytes()


def unpack(blob: bytes, dimensions: int, dtype: str) -> "NDArray[np.float32]":
    """The numbers of packed rows, [rows, dimensions] of f32."""
    if dtype == "f32":
        return np.frombuffer(blob, dtype="<f4").reshape(-1, dimensions)
    if dtype == "f16":
        return np.frombuffer(blob, dtype="<f2").reshape(-1, dimensions).astype(np.float32)
    rows = np.frombuffer(blob, dtype=np.uint8).reshape(-1, row_bytes(dimensions, dtype))
    scales = np.ascontiguousarray(rows[:, :_SCALE_BYTES]).view("<f4")
    return scales * rows[:, _SCALE_BYTES:].view(np.int8).astype(np.float32)
