"""What makes a row unfit, and how rows are told apart."""

import numpy as np
import pytest
from stockade_agent.packing import pack, row_bytes, unpack
from stockade_embedding_cache.domain.key import KeysMalformed, split_keys
from stockade_embedding_cache.domain.vector import Dtype, Format, RowFault, Rows, RowsMismatch, find_faults

NAMES = {Dtype.F32: "f32", Dtype.F16: "f16", Dtype.INT8: "int8"}


def rows_of(dtype: Dtype, *vectors: list[float]) -> list[bytes]:
    packed = [np.array([vector], dtype=np.float32) for vector in vectors]
    return [pack(row, NAMES[dtype]) for row in packed]


@pytest.mark.parametrize("dtype", [Dtype.F32, Dtype.F16])
def test_each_fault_names_its_row(dtype: Dtype) -> None:
    rows = rows_of(dtype, [1, 2, 3], [1, float("nan"), 3], [0, 0, 0], [1, float("-inf"), 0], [-1, 0, 0])
    rows.append(rows[0][:-1])
    assert find_faults(Format(3, dtype), rows) == {
        1: RowFault.NAN,
        2: RowFault.ZERO,
        3: RowFault.INFINITE,
        5: RowFault.SIZE,
    }


def test_int8_faults_are_in_the_scale_or_in_all_steps() -> None:
    good, zero_steps = b"\0\0\x80?" + b"\x01\xff", b"\0\0\x80?" + b"\0\0"
    nan_scale, inf_scale, zero_scale = b"\0\0\xc0\x7f\x01\x01", b"\0\0\x80\x7f\x01\x01", b"\0\0\0\0\x01\x01"
    faults = find_faults(Format(2, Dtype.INT8), [good, zero_steps, nan_scale, inf_scale, zero_scale])
    assert faults == {1: RowFault.ZERO, 2: RowFault.NAN, 3: RowFault.INFINITE, 4: RowFault.ZERO}


def test_extreme_numbers_are_no_fault() -> None:
    largest, smallest = (float(x) for x in (np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal))
    assert find_faults(Format(2, Dtype.F32), rows_of(Dtype.F32, [largest, largest], [smallest, 0])) == {}


def test_rows_all_of_the_wrong_size() -> None:
    assert find_faults(Format(2, Dtype.F32), [b"abc", b""]) == {0: RowFault.SIZE, 1: RowFault.SIZE}


def test_a_short_row_shifts_no_other() -> None:
    first, second, third = rows_of(Dtype.F32, [1, 2], [3, 4], [5, 6])
    blob = first + second[:5] + third
    assert Rows(Format(2, Dtype.F32), blob, (8, 5, 8)).split(3) == [first, second[:5], third]


@pytest.mark.parametrize(
    ("blob", "sizes", "keys"),
    [(b"x" * 15, (), 2), (b"x" * 16, (), 3), (b"x" * 16, (8, 9), 2), (b"x" * 16, (16,), 2), (b"", (), 1)],
)
def test_rows_that_cannot_be_told_apart_are_refused(blob: bytes, sizes: tuple[int, ...], keys: int) -> None:
    with pytest.raises(RowsMismatch, match="send one row a key"):
        Rows(Format(2, Dtype.F32), blob, sizes).split(keys)


def test_keys_are_32_bytes() -> None:
    assert split_keys(b"a" * 32 + b"b" * 32) == [b"a" * 32, b"b" * 32]
    with pytest.raises(KeysMalformed, match="33 bytes"):
        split_keys(b"a" * 33)


@pytest.mark.parametrize(("dtype", "bound"), [("f32", 0.0), ("f16", 2**-11), ("int8", 0.5 / 127 * 1.001)])
def test_packing_keeps_to_its_error(dtype: str, bound: float) -> None:
    vectors = np.random.default_rng(7).standard_normal((200, 96)).astype(np.float32)
    blob = pack(vectors, dtype)
    assert len(blob) == 200 * row_bytes(96, dtype)
    error = np.abs(unpack(blob, 96, dtype) - vectors)
    assert (error <= bound * np.abs(vectors).max(axis=1, keepdims=True)).all()
    assert find_faults(Format(96, Dtype[dtype.upper()]), [blob[: row_bytes(96, dtype)]]) == {}
