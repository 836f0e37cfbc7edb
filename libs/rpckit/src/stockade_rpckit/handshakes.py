"""TLS handshakes that were refused: no call ever comes of them, and gRPC says them on stderr alone.

One line each, `Handshake failed with error SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_…`,
without the address. These lines are counted for the record, and everything else on the descriptor goes on to where it
went before. Python's own stderr goes there straight, so that it depends on nobody.
"""

import os
import re
import sys
import threading
from collections import Counter
from typing import BinaryIO

_LINE = re.compile(rb"Handshake failed with error \w+: .*OPENSSL_internal:(\w+)(?:: (.*))?")
_NO_VERDICT = "Invalid certificate verification context"
_STDERR = 2


class Handshakes:
    """Counts refused handshakes by reason, from this process's descriptor 2."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()

    def watch(self) -> None:
        """Begin; once in a process, and before anything else holds on to `sys.stderr`."""
        before = os.dup(_STDERR)
        reader, writer = os.pipe()
        os.dup2(writer, _STDERR)
        os.close(writer)
        sys.stderr = os.fdopen(os.dup(before), "w", buffering=1)
        threading.Thread(target=self._follow, args=(os.fdopen(reader, "rb"), before), daemon=True).start()

    def taken(self) -> Counter[str]:
        """Those that were refused since this was last asked, by reason."""
        with self._lock:
            taken, self._refused = self._refused, Counter()
        return taken

    def _follow(self, lines: BinaryIO, before: int) -> None:
        for line in lines:
            if reason := reason_of(line):
                with self._lock:
                    self._refused[reason] += 1
            else:
                os.write(before, line)


def reason_of(line: bytes) -> str:
    """Why a handshake was refused, e.g. "CERTIFICATE_VERIFY_FAILED: certificate has expired"; "" for another line."""
    found = _LINE.search(line)
    if found is None:
        return ""
    what, verdict = (part.decode(errors="replace").strip() for part in (found[1], found[2] or b""))
    return f"{what}: {verdict}" if verdict and verdict != _NO_VERDICT else what
