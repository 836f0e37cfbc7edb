"""The log of an exec's output: bounded, with true offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_sandbox.supervision.output import CAPACITY, MOST_PIECES, Gap, Output, Piece


def read_all(output: Output, offset: int) -> tuple[int, bytes]:
    """Bytes missing and bytes read from an offset on."""
    missing, data = 0, b""
    while (item := output.after(offset)) is not None:
        if isinstance(item, Gap):
            missing += item.end - item.first
            offset = item.end
        else:
            assert item.offset == offset
            data += item.data
            offset += len(item.data)
    return missing, data


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=50)), max_size=20), st.integers(0, 1000))
def test_any_offset_finds_the_rest(pieces: list[tuple[bool, bytes]], offset: int) -> None:
    output = Output()
    for stderr, data in pieces:
        output.append(stderr, data)
    whole = b"".join(data for _stderr, data in pieces)
    assert read_all(output, offset) == (0, whole[offset:])


def test_the_oldest_gives_way_and_is_told() -> None:
    output = Output()
    for _ in range(CAPACITY // 1000 + 50):
        output.append(False, bytes(1000))
    assert output.end - output.first <= CAPACITY
    missing, data = read_all(output, 0)
    assert missing == output.first > 0
    assert missing + len(data) == output.end


@pytest.mark.parametrize("streams", [(False,), (False, True)], ids=["one stream", "both in turn"])
def test_what_is_written_byte_by_byte_is_held_in_few_pieces_and_found_at_once(streams: tuple[bool, ...]) -> None:
    output = Output()
    for number in range(CAPACITY // 4):
        output.append(streams[number % len(streams)], b"x")
    pieces, offset = 0, output.first
    while (item := output.after(offset)) is not None:
        assert isinstance(item, Piece)
        pieces, offset = pieces + 1, offset + len(item.data)
    assert pieces <= MOST_PIECES
    assert offset == output.end


def test_streams_are_told_apart() -> None:
    output = Output()
    output.append(False, b"out")
    output.append(True, b"err")
    assert output.after(0) == Piece(0, False, b"out")
    assert output.after(4) == Piece(4, True, b"rr")
    assert output.after(6) is None
    assert output.last_stderr == b"err"
