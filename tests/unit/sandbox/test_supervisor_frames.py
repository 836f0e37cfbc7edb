"""Frames survive any cut, and nothing malformed gets past the decoder."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_sandbox.supervisor import frames

LIMIT = 4096
FRAMES = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=20)


@given(FRAMES, st.data())
def test_any_frames_come_through_any_cuts(sent: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frames.encode(*frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = frames.Decoder(LIMIT)
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert received == sent


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_any_bytes_give_frames_within_the_limit_or_an_error(pieces: list[bytes]) -> None:
    decoder = frames.Decoder(64)
    try:
        for piece in pieces:
            assert all(len(payload) <= 64 for _kind, _number, payload in decoder.feed(piece))
    except frames.FrameError:
        pass


def test_a_frame_above_the_limit_is_refused_before_its_payload_has_come() -> None:
    with pytest.raises(frames.FrameError, match="4097"):
        frames.Decoder(LIMIT).feed(frames.HEADER.pack(LIMIT + 1, 1, 1))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_a_payload_is_an_object_or_an_error(payload: bytes) -> None:
    with contextlib.suppress(frames.FrameError):
        assert isinstance(frames.decode_json(payload), dict)


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"null", b"{", b'{"a":1}x', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode_json(payload)
