"""Vectors: how numbers are packed, and what makes a packed row unfit to be kept.

f32 and f16 are IEEE 754 little-endian. int8 is one little-endian f32 scale and a signed byte a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

SCALE_BYTES = 4


class Dtype(IntEnum):
    """How a vector's numbers are packed; the numbers are those of the contract."""

    F32 = 1
    F16 = 2
    INT8 = 3


class RowFault(IntEnum):
    """What is wrong with one row; the numbers are those of the contract."""

    NAN = 1
    INFINITE = 2
    ZERO = 3
    SIZE = 4
    FORMAT = 5
    QUOTA = 6
    NOT_FOUND = 7


@dataclass(frozen=True, slots=True)
class Format:
    """What a vector looks like in bytes."""

    dimensions: int
    dtype: Dtype

    @property
    def row_bytes(self) -> int:
        """Bytes that one vector takes."""
        match self.dtype:
            case Dtype.F32:
                return 4 * self.dimensions
            case Dtype.F16:
                return 2 * self.dimensions
            case Dtype.INT8:
                return SCALE_BYTES + self.dimensions

    def __str__(self) -> str:
        return f"{self.dimensions}-d {self.dtype.name.lower()}"


@cache
def read_format(dimensions: int, dtype: int) -> Format:
    """The format of these numbers; one object for equal ones, so that comparing is cheap."""
    return Format(dimensions, Dtype(dtype))


class RowsMismatch(ValueError):
    """Vectors and keys that disagree, so that no row can be told from the next."""

    def __init__(self, keys: int, expected_bytes: int, actual_bytes: int) -> None:
        super().__init__(
            f"{keys} keys need {expected_bytes} bytes of vectors, not {actual_bytes}: "
            "send one row a key, and `sizes` where rows may differ in size"
        )
        self.keys, self.expected_bytes, self.actual_bytes = keys, expected_bytes, actual_bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed vectors of one format, one behind the other.

    `sizes` holds each row's bytes when they may differ from the format's; empty when they do not.
    """

    format: Format
    blob: bytes
    sizes: Sequence[int] = ()

    def split(self, count: int) -> list[bytes]:
        """The `count` rows' bytes. Raises RowsMismatch."""
        sizes = self.sizes or (self.format.row_bytes,) * count
        if len(sizes) != count or sum(sizes) != len(self.blob):
            raise RowsMismatch(count, sum(sizes), len(self.blob))
        return [self.blob[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]


def find_faults(fmt: Format, rows: Sequence[bytes]) -> dict[int, RowFault]:
    """The rows that may not be stored, by number, each with its first fault."""
    faults = {i: RowFault.SIZE for i, row in enumerate(rows) if len(row) != fmt.row_bytes}
    sound = [i for i in range(len(rows)) if i not in faults] if faults else range(len(rows))
    matrix = np.frombuffer(b"".join(rows[i] for i in sound), dtype=np.uint8).reshape(len(sound), fmt.row_bytes)
    for position in _suspects(fmt, matrix):
        fault = _fault_of(_numbers(fmt, matrix[position : position + 1]))
        if fault is not None:
            faults[sound[position]] = fault
    return faults


def _suspects(fmt: Format, matrix: NDArray[np.uint8]) -> list[int]:
    """Rows whose sum of squares is zero or not finite: all faulty rows, and few others."""
    numbers = _numbers(fmt, matrix)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", numbers, numbers)
    return [int(i) for i in np.flatnonzero(~np.isfinite(squares) | (squares == 0))]


def _numbers(fmt: Format, matrix: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Packed rows as numbers, [rows, dimensions] of f32."""
    match fmt.dtype:
        case Dtype.F32:
            return matrix.view("<f4")
        case Dtype.F16:
            return matrix.view("<f2").astype(np.float32)
        case Dtype.INT8:
            scales = np.ascontiguousarray(matrix[:, :SCALE_BYTES]).view("<f4")
            with np.errstate(over="ignore", invalid="ignore"):
                return scales * matrix[:, SCALE_BYTES:].view(np.int8).astype(np.float32)


def _fault_of(numbers: NDArray[np.float32]) -> RowFault | None:
    if np.isnan(numbers).any():
        return RowFault.NAN
    if np.isinf(numbers).any():
        return RowFault.INFINITE
    if not numbers.any():
        return RowFault.ZERO
    return None
