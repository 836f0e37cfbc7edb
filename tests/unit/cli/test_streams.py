"""What an ending means as an exit code."""

from datetime import timedelta

import pytest
from stockade_agent.sandbox import Ending
from stockade_cli.streams import exit_code

CASES = [
    ("EXITED", 0, None, 0),
    ("EXITED", 3, None, 3),
    ("SIGNALLED", None, 15, 143),
    ("TIMEOUT", None, 9, 124),
    ("TIMEOUT", None, None, 124),
    ("OUT_OF_MEMORY", None, 9, 137),
    ("OUT_OF_MEMORY", 1, None, 1),
    ("DISK_FULL", 1, None, 1),
    ("OUTPUT_LIMIT", None, 9, 137),
    ("CANCELLED", None, 9, 130),
    ("SANDBOX_LOST", None, None, 125),
]


@pytest.mark.parametrize(("reason", "code", "signal", "expected"), CASES)
def test_exit_codes(reason: str, code: int | None, signal: int | None, expected: int) -> None:
    nothing = timedelta()
    assert exit_code(Ending(reason, code, signal, "", False, nothing, nothing, 0)) == expected
