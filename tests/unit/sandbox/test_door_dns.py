"""The DNS stub: each name its own address, and a sane answer to any bytes."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_sandbox.supervisor import dns
from stockade_sandbox.supervisor.names import Names, canonical

A, AAAA, MX, PTR = 1, 28, 15, 12
NO_ERROR, FORMAT_ERROR, NO_SUCH_NAME, NOT_IMPLEMENTED = 0, 1, 3, 4


def query(name: str, kind: int = A, flags: int = 0x0100, rr_class: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label)
    return struct.pack("!HHHHHH", 0x1234, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, rr_class)


def read(reply: bytes | None) -> tuple[int, str | None]:
    """The code of a reply and the address in it."""
    assert reply is not None
    ident, flags, _questions, answers = struct.unpack("!HHHH", reply[:8])
    assert (ident, flags & 0x8000) == (0x1234, 0x8000)
    return flags & 0xF, socket.inet_ntoa(reply[-4:]) if answers else None


CASES = {
    "a name": (query("example.com"), NO_ERROR, "127.1.0.1"),
    "capitals and a trailing dot": (query("EXAMPLE.com."), NO_ERROR, "127.1.0.1"),
    "any class": (query("example.com", rr_class=255), NO_ERROR, "127.1.0.1"),
    "IPv6": (query("example.com", AAAA), NO_ERROR, None),
    "mail": (query("example.com", MX), NO_ERROR, None),
    "reverse": (query("1.0.1.127.in-addr.arpa", PTR), NO_ERROR, None),
    "localhost": (query("localhost"), NO_ERROR, "127.0.0.1"),
    "below localhost": (query("a.localhost"), NO_ERROR, "127.0.0.1"),
    "an underscore": (query("_srv.example.com"), NO_ERROR, "127.1.0.1"),
    "the root": (query(""), NO_SUCH_NAME, None),
    "a name with a blank": (query("a b.com"), NO_SUCH_NAME, None),
    "another operation": (query("example.com", flags=0x2800), NOT_IMPLEMENTED, None),
    "no question": (struct.pack("!HHHHHH", 0x1234, 0, 0, 0, 0, 0), FORMAT_ERROR, None),
    "two questions": (struct.pack("!HHHHHH", 0x1234, 0, 2, 0, 0, 0) + b"\1a\0\0\1\0\1" * 2, FORMAT_ERROR, None),
    "a compressed question": (struct.pack("!HHHHHH", 0x1234, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", FORMAT_ERROR, None),
    "a cut name": (query("example.com")[:20], FORMAT_ERROR, None),
    "no type": (query("example.com")[:-3], FORMAT_ERROR, None),
}


@pytest.mark.parametrize(("asked", "code", "address"), CASES.values(), ids=CASES)
def test_the_answer(asked: bytes, code: int, address: str | None) -> None:
    assert read(dns.answer(asked, Names())) == (code, address)


@pytest.mark.parametrize("data", [b"", b"short", query("example.com", flags=0x8180)])
def test_what_gets_no_answer(data: bytes) -> None:
    assert dns.answer(data, Names()) is None


@given(st.binary(max_size=600))
def test_any_bytes_get_a_reply_or_none(data: bytes) -> None:
    reply = dns.answer(data, Names())
    assert reply is None or reply[:2] == data[:2]


def test_a_name_keeps_its_address_and_an_address_its_name() -> None:
    names = Names()
    first, second = names.address("a.com"), names.address("b.com")
    assert first != second
    assert (names.address("a.com"), names.name(first), names.name(second)) == (first, "a.com", "b.com")
    assert names.name("127.0.0.1") is None


def test_the_table_is_bounded_and_an_address_is_not_used_again_soon() -> None:
    names = Names(capacity=3)
    addresses = [names.address(f"{n}.com") for n in range(10)]
    assert len(set(addresses)) == 10
    assert [names.name(address) for address in addresses] == [None] * 7 + ["7.com", "8.com", "9.com"]


def test_what_was_asked_for_lately_stays() -> None:
    names = Names(capacity=2)
    kept = names.address("kept.com")
    for n in range(5):
        names.address(f"{n}.com")
        assert names.address("kept.com") == kept


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, ".".join(["abcd"] * 52), "a/b", "ä.com", "a@b", "a:80"])
def test_what_is_no_host_name(name: str) -> None:
    assert canonical(name) is None
