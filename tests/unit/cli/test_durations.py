"""Durations and sizes as people write them."""

from datetime import timedelta

import pytest
from stockade_cli.durations import parse_bytes, parse_duration, show_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("250ms", 0.25), ("1.5h", 5400)],
)
def test_durations_that_are_understood(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "5 m", "-5m", "5m!", "1h 30m"])
def test_durations_that_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write 90s, 5m, 1h30m or 7d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("512", 512), ("64k", 65536), ("512m", 512 * 2**20), ("2g", 2**31), ("2GiB", 2**31), ("1mb", 2**20)],
)
def test_sizes_that_are_understood(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "m", "-1m", "1.5g", "2 g", "2x"])
def test_sizes_that_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write 512m or 2g"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (512 * 2**20, "512 MiB"), (5 * 2**40, "5120 GiB")],
)
def test_sizes_are_shown_in_the_unit_that_fits(count: int, text: str) -> None:
    assert show_bytes(count) == text
