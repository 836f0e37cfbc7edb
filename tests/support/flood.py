"""Asks as fast as it can, from a process of its own: python flood.py SOCKET SECONDS CONNECTIONS COUNT, heads on stdin.

It ends after so many seconds, or with a COUNT above 0 after so many requests; the heads are sent in turn.

Prints, as JSON, how many requests were sent, how many answers came by status, and how many connections ended without
one. Like a sandbox of the smallest class it has one core.
"""

import json
import os
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice


def flood(path: str, heads: list[bytes], until: float, count: int) -> Counter[str]:
    """Sends the heads again and again, on one connection as long as it lasts, and counts what came of it."""
    counted: Counter[str] = Counter()
    connection, buffer = None, b""
    for head in islice(cycle(heads), count or None):
        if time.monotonic() > until:
            break
        try:
            if connection is None:
                connection, buffer = socket.socket(socket.AF_UNIX), b""
                connection.connect(path)
            counted["sent"] += 1
            connection.sendall(head)
            while b"\r\n\r\n" not in buffer:
                if not (data := connection.recv(65536)):
                    raise ConnectionError
                buffer += data
            answered, _, buffer = buffer.partition(b"\r\n\r\n")
            counted[answered.split(b" ")[1].decode()] += 1
            buffer = _after_body(connection, answered, buffer)
            if b"connection: close" in answered:
                raise EOFError
        except EOFError:
            connection = _closed(connection)
        except OSError:
            counted["unanswered"] += 1
            connection = _closed(connection)
    return counted


def _after_body(connection: socket.socket, head: bytes, buffer: bytes) -> bytes:
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    while len(buffer) < length:
        buffer += connection.recv(65536)
    return buffer[length:]


def _closed(connection: socket.socket | None) -> None:
    if connection is not None:
        connection.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    path, until, connections = sys.argv[1], time.monotonic() + float(sys.argv[2]), int(sys.argv[3])
    heads = [head + b"\r\n\r\n" for head in sys.stdin.buffer.read().split(b"\r\n\r\n") if head]
    each = int(sys.argv[4]) // connections
    with ThreadPoolExecutor(connections) as pool:
        shares = pool.map(lambda _: flood(path, heads, until, each), range(connections))
        print(json.dumps(sum(shares, Counter())))
