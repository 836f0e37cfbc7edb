"""The door on port 80: every request comes out in absolute form, and nothing ambiguous comes out at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_sandbox.supervisor.http_head import HeadRefused, Requests, refusal

NAME = "example.com"
HOST = b"Host: example.com\r\n"


def passed(*pieces: bytes, name: str = NAME) -> bytes:
    requests = Requests(name)
    return b"".join(requests.feed(piece) for piece in pieces)


def get(target: bytes = b"/", more: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + more + b"\r\n"


REWRITTEN = {
    "a path": (get(b"/a?b=c"), b"GET http://example.com/a?b=c HTTP/1.1"),
    "absolute already": (get(b"http://example.com/x"), b"GET http://example.com/x HTTP/1.1"),
    "absolute with the port and capitals": (get(b"HTTP://EXAMPLE.com:80/x"), b"GET http://example.com/x HTTP/1.1"),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", b"OPTIONS http://example.com HTTP/1.1"),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", b"GET http://example.com/ HTTP/1.0"),
    "Host with a port": (b"GET / HTTP/1.1\r\nHost: example.com:80\r\n\r\n", b"GET http://example.com/ HTTP/1.1"),
    "Host with a trailing dot": (b"GET / HTTP/1.1\r\nHost: example.com.\r\n\r\n", b"GET http://example.com/ HTTP/1.1"),
    "an empty line before": (b"\r\n" + get(), b"GET http://example.com/ HTTP/1.1"),
    "two slashes": (get(b"//other.org/x"), b"GET http://example.com//other.org/x HTTP/1.1"),
}

REFUSED = {
    "another host": b"GET / HTTP/1.1\r\nHost: other.org\r\n\r\n",
    "another port": b"GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n",
    "another host in the target": get(b"http://other.org/"),
    "user information in the target": get(b"http://example.com@other.org/"),
    "another scheme": get(b"https://example.com/"),
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n" + HOST + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the target": get(b"/a b"),
    "a folded line": get(more=b"X: a\r\n b\r\n"),
    "a blank before the colon": get(more=b"X : a\r\n"),
    "a bare line feed": b"GET / HTTP/1.1\nHost: example.com\r\n\r\n",
    "a NUL in a value": get(more=b"X: \x00\r\n"),
    "length and chunked": get(more=b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
    "two lengths": get(more=b"Content-Length: 3\r\nContent-Length: 4\r\n"),
    "a list of lengths": get(more=b"Content-Length: 3, 3\r\n"),
    "a signed length": get(more=b"Content-Length: +3\r\n"),
    "another coding": get(more=b"Transfer-Encoding: gzip, chunked\r\n"),
    "a coding twice": get(more=b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "a chunk size that is none": get(more=b"Transfer-Encoding: chunked\r\n") + b"zz\r\n",
    "a chunk size with a prefix": get(more=b"Transfer-Encoding: chunked\r\n") + b"0x5\r\nhello\r\n",
    "a chunk longer than its size": get(more=b"Transfer-Encoding: chunked\r\n") + b"3\r\nhello\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a head too long": b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
}


@pytest.mark.parametrize(("request_", "line"), REWRITTEN.values(), ids=REWRITTEN)
def test_the_request_line(request_: bytes, line: bytes) -> None:
    assert passed(request_).split(b"\r\n")[0] == line


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(request_: bytes) -> None:
    with pytest.raises(HeadRefused):
        passed(request_)


def test_header_fields_and_bodies_pass_unchanged() -> None:
    body = b"POST /p HTTP/1.1\r\n" + HOST + b"X-Kept:  as it is \r\nContent-Length: 5\r\n\r\nhello"
    assert passed(body) == body.replace(b" /p ", b" http://example.com/p ")


def test_each_request_of_a_connection_is_rewritten() -> None:
    post = b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    chunked = b"PUT /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\n0\r\nT: r\r\n\r\n"
    sent = post + chunked + get(b"/last")
    expected = sent
    for path in (b"/p", b"/c", b"/last"):
        expected = expected.replace(b" " + path + b" ", b" http://example.com" + path + b" ")
    assert passed(sent) == expected


def test_a_body_that_looks_like_a_request_is_a_body() -> None:
    inner = b"GET /evil HTTP/1.1\r\n" + HOST + b"\r\n"
    sent = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner
    assert b" /evil " in passed(sent)


def test_after_an_upgrade_bytes_pass_as_they_are() -> None:
    sent = get(more=b"Connection: upgrade\r\nUpgrade: websocket\r\n") + b"\x81\x05hello"
    assert passed(sent).endswith(b"\r\n\r\n\x81\x05hello")


@given(st.data())
def test_cuts_change_nothing(data: st.DataObject) -> None:
    sent = b"POST /p HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get(b"/2")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert passed(*pieces) == passed(sent)


@given(st.binary(max_size=400))
def test_any_bytes_pass_in_absolute_form_or_are_refused(data: bytes) -> None:
    try:
        out = passed(data)
    except HeadRefused:
        return
    assert not out or b" http://example.com" in out.split(b"\r\n")[0]


def test_a_refusal_says_why() -> None:
    assert b"two parsers" in refusal("two parsers would disagree")
    assert refusal("x").startswith(b"HTTP/1.1 400 ")
