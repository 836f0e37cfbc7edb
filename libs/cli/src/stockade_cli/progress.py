"""How far a long transfer is, on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stockade_cli.durations import show_bytes

QUIET_SECONDS = 0.5
"""What takes no longer shows no progress."""


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """A function that takes how many bytes there are so far; one line on stderr, renewed and then wiped."""
    began = shown_at = time.monotonic()
    shown = False

    def show(count: int) -> None:
        nonlocal shown, shown_at
        now = time.monotonic()
        if not sys.stderr.isatty() or now - began < QUIET_SECONDS or now - shown_at < 0.1:
            return
        shown, shown_at = True, now
        rate = show_bytes(count / (now - began))
        sys.stderr.write(f"\r\x1b[K{what} {show_bytes(count)}, {rate}/s")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
