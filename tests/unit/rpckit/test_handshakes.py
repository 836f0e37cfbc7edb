"""gRPC's lines on stderr: which of them tell of a refused handshake, and that the others go on."""

import subprocess
import sys

import pytest
from stockade_rpckit.handshakes import reason_of

PREFIX = b"I1124 15:31:07.978270   14426 ssl_transport_security.cc:2563] "
FAILED = PREFIX + b"Handshake failed with error SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            FAILED + b"CERTIFICATE_VERIFY_FAILED: certificate has expired\n",
            "CERTIFICATE_VERIFY_FAILED: certificate has expired",
        ),
        (FAILED + b"WRONG_VERSION_NUMBER: Invalid certificate verification context\n", "WRONG_VERSION_NUMBER"),
        (FAILED + b"TLSV1_ALERT_UNKNOWN_CA\n", "TLSV1_ALERT_UNKNOWN_CA"),
        (PREFIX + b"Corruption detected.\n", ""),
        (b'{"message": "serving"}\n', ""),
    ],
)
def test_what_a_line_says(line: bytes, reason: str) -> None:
    assert reason_of(line) == reason


def test_what_else_is_written_goes_on_and_handshakes_are_counted() -> None:
    program = f"""
import os, sys, time
from stockade_rpckit.handshakes import Handshakes
handshakes = Handshakes()
handshakes.watch()
os.write(2, b"from a library\\n" + 3 * {FAILED + b"X_Y: z" + bytes([10])!r} + b"and more\\n")
print("from Python", file=sys.stderr)
while not (taken := handshakes.taken()): time.sleep(0.01)
time.sleep(0.1)
print(dict(taken))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "{'X_Y: z': 3}\n"
    assert sorted(done.stderr.splitlines()) == ["and more", "from Python", "from a library"]
