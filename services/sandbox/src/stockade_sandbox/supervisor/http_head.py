"""Turns HTTP/1.1 requests meant for a host itself into requests for a proxy, one head at a time (RFC 9112).

The door on port 80 must not be the place where two parsers disagree about where a request ends: what is ambiguous is
refused, and the connection ends there.
"""

from __future__ import annotations

HEAD_LIMIT = 64 * 1024

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


class HeadRefused(Exception):
    """A request that is not passed on; the text says why."""


class Requests:
    """Takes a client's bytes and gives the bytes for the proxy, every request line in absolute form for `name`."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._buffer = bytearray()
        self._step = self._head
        self._left = 0  # bytes of a body or chunk still to pass on

    def feed(self, data: bytes) -> bytes:
        """What can be passed on now. Raises HeadRefused; then nothing more may be fed."""
        self._buffer += data
        passed = bytearray()
        while True:
            part = self._step()
            if part is None:
                return bytes(passed)
            passed += part

    # Each step gives the next bytes to pass on, or None when it needs more.

    def _head(self) -> bytes | None:
        while self._buffer[:2] == b"\r\n":  # an empty line before a request line is to be ignored
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_LIMIT or (end < 0 and len(self._buffer) > HEAD_LIMIT):
            raise HeadRefused("the request's head is too long")
        if end < 0:
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        line, *fields = head.split(b"\r\n")
        headers = [_field(field) for field in fields]
        rewritten = self._request_line(line, headers)
        self._step = self._after_head(headers)
        return b"\r\n".join([rewritten, *fields]) + b"\r\n\r\n"

    def _request_line(self, line: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
        parts = line.split(b" ")
        if len(parts) != 3 or not parts[0] or not _TOKEN.issuperset(parts[0]) or _has_control(line):
            raise HeadRefused("the request line is malformed")
        method, target, version = parts
        if version != b"HTTP/1.1" and version != b"HTTP/1.0":
            raise HeadRefused("only HTTP/1.0 and HTTP/1.1 pass this door")
        if method == b"CONNECT":
            raise HeadRefused("CONNECT is for proxies; this is port 80 of a host")
        hosts = [value for key, value in headers if key == b"host"]
        if len(hosts) != 1 and not (version == b"HTTP/1.0" and not hosts):
            raise HeadRefused("exactly one Host header is needed")
        authority = self._name
        for host in hosts:
            if _without_port(host) != self._name:
                raise HeadRefused("the Host header names another host than the one that was looked up")
        return method + b" " + self._absolute(target, authority, method) + b" " + version

    def _absolute(self, target: bytes, authority: bytes, method: bytes) -> bytes:
        if target.startswith(b"/"):
            return b"http://" + authority + target
        if target == b"*" and method == b"OPTIONS":
            return b"http://" + authority
        scheme, _, rest = target.partition(b"://")
        host, slash, path = rest.partition(b"/")
        if scheme.lower() == b"http" and _without_port(host) == self._name:
            return b"http://" + authority + slash + path
        raise HeadRefused("the request target names another host than the one that was looked up")

    def _after_head(self, headers: list[tuple[bytes, bytes]]):  # type: ignore[no-untyped-def]
        lengths = {value for key, value in headers if key == b"content-length"}
        codings = [value.lower() for key, value in headers if key == b"transfer-encoding"]
        if any(key == b"upgrade" for key, _value in headers):
            return self._everything
        if codings:
            if lengths or codings != [b"chunked"]:
                raise HeadRefused("the request's length is ambiguous")
            return self._chunk_size
        if not lengths:
            return self._head
        if len(lengths) != 1:
            raise HeadRefused("the request's length is ambiguous")
        length = lengths.pop()
        if not length.isdigit() or len(length) > 18:
            raise HeadRefused("the request's length is malformed")
        self._left = int(length)
        return self._body

    def _body(self) -> bytes | None:
        return self._pass_on(self._head)

    def _chunk_size(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        size = line.partition(b";")[0].rstrip(b" \t")
        if not size or len(size) > 15 or not _HEXADECIMAL.issuperset(size):
            raise HeadRefused("a chunk's size is malformed")
        self._left = int(size, 16) + 2  # its data and the line's end after it
        self._step = self._chunk if self._left > 2 else self._trailer
        return line + b"\r\n"

    def _chunk(self) -> bytes | None:
        """The data of a chunk; its last two bytes must be the line's end."""
        if self._left > 2:
            part = bytes(self._buffer[: self._left - 2])
            if not part:
                return None
            del self._buffer[: len(part)]
            self._left -= len(part)
            return part
        if len(self._buffer) < 2:
            return None
        if self._buffer[:2] != b"\r\n":
            raise HeadRefused("a chunk is longer than its size")
        del self._buffer[:2]
        self._step = self._chunk_size
        return b"\r\n"

    def _trailer(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        if not line:
            self._step = self._head
        else:
            _field(line)
        return line + b"\r\n"

    def _everything(self) -> bytes | None:
        """After a request to upgrade: no request of ours any more. The gate judges what it takes for one."""
        part = bytes(self._buffer)
        self._buffer.clear()
        return part or None

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end > 4096 or (end < 0 and len(self._buffer) > 4096):
            raise HeadRefused("a line of the body is too long")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _pass_on(self, then) -> bytes | None:  # type: ignore[no-untyped-def]
        part = bytes(self._buffer[: self._left])
        del self._buffer[: len(part)]
        self._left -= len(part)
        if self._left == 0:
            self._step = then
        return part or (b"" if self._left == 0 else None)


def refusal(why: str) -> bytes:
    """The response to a client whose request was refused."""
    body = f"Stockade's door refused this request: {why}.\n".encode()
    return (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )


def _field(line: bytes) -> tuple[bytes, bytes]:
    """One header field: its name in lower case, its value. Folded lines and blanks before the colon are refused."""
    name, colon, value = line.partition(b":")
    if not colon or not name or not _TOKEN.issuperset(name) or _has_control(value):
        raise HeadRefused("a header field is malformed")
    return name.lower(), value.strip(b" \t")


def _has_control(text: bytes) -> bool:
    return any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in text)


def _without_port(host: bytes) -> bytes:
    """The host of `host` or `host:80`, in canonical form."""
    name, colon, port = host.lower().partition(b":")
    if colon and port not in (b"", b"80"):
        return b""
    return name[:-1] if name.endswith(b".") else name
