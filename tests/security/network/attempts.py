"""What is tried, as data: the same tables are sent by a sandbox's own door and from inside a real sandbox.

`evil.test`, `private.test`, `ok.test`, `*.wild.test`: README.md beside this file says what they lead to.
"""

import ipaddress
from collections.abc import Mapping

from support.tls import client_hello, in_records

# Lines of a head, as CRLF is made of them; EVIL and OK stand for the ports of the origins behind those names.
REQUESTS = {
    "absolute form": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: evil.test:EVIL",
    "absolute form under an allowed Host": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: ok.test:OK",
    "origin form": "GET / HTTP/1.1\nHost: evil.test:EVIL",
    "upper case": "GET http://EVIL.TEST:EVIL/ HTTP/1.1\nHost: x",
    "a trailing dot": "GET http://evil.test.:EVIL/ HTTP/1.1\nHost: x",
    "an allowed name as user": "GET http://ok.test@evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "an allowed name and port as user": "GET http://ok.test:OK@evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "an allowed name after a fragment": "GET http://evil.test:EVIL#@ok.test/ HTTP/1.1\nHost: ok.test",
    "an allowed name after a backslash": "GET http://evil.test:EVIL\\@ok.test/ HTTP/1.1\nHost: ok.test",
    "a backslash before the path": "GET http://ok.test\\.evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "a NUL within": "GET http://ok.test%00.evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "a raw NUL within": "GET http://ok.test\0.evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "a percent-encoded dot": "GET http://evil%2etest:EVIL/ HTTP/1.1\nHost: x",
    "a space before the host": "GET http:// evil.test:EVIL/ HTTP/1.1\nHost: x",
    "a tab in the Host": "GET / HTTP/1.1\nHost: ok.test\tevil.test:EVIL",
    "a comma in the Host": "GET / HTTP/1.1\nHost: ok.test,evil.test:EVIL",
    "two Hosts": "GET / HTTP/1.1\nHost: ok.test:OK\nHost: evil.test:EVIL",
    "two Hosts, the other way": "GET / HTTP/1.1\nHost: evil.test:EVIL\nHost: ok.test:OK",
    "a folded Host": "GET / HTTP/1.1\nHost: ok.test\n evil.test:EVIL",
    "no Host": "GET / HTTP/1.1",
    "an ideographic dot": "GET http://evil。test:EVIL/ HTTP/1.1\nHost: x",
    "full width letters": "GET http://ｅｖｉｌ.test:EVIL/ HTTP/1.1\nHost: x",
    "a look-alike of an allowed name": "GET http://οk.test:EVIL/ HTTP/1.1\nHost: x",
    "a soft hyphen": "GET http://ev\u00adil.test:EVIL/ HTTP/1.1\nHost: x",
    "the apex of a wildcard": "GET http://wild.test:EVIL/ HTTP/1.1\nHost: x",
    "a suffix without its dot": "GET http://notwild.test:EVIL/ HTTP/1.1\nHost: x",
    "a wildcard, asked for": "GET http://*.wild.test.evil.test:EVIL/ HTTP/1.1\nHost: x",
    "https in the clear": "GET https://ok.test:OK/ HTTP/1.1\nHost: x",
    "another scheme": "GET ftp://evil.test:EVIL/ HTTP/1.1\nHost: x",
    "a file": "GET file:///etc/passwd HTTP/1.1\nHost: x",
    "CONNECT": "CONNECT evil.test:EVIL HTTP/1.1\nHost: evil.test:EVIL",
    "CONNECT under an allowed Host": "CONNECT evil.test:EVIL HTTP/1.1\nHost: ok.test:OK",
    "CONNECT with an allowed user": "CONNECT ok.test@evil.test:EVIL HTTP/1.1\nHost: ok.test",
    "CONNECT in absolute form": "CONNECT http://evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "CONNECT to a port of its own": "CONNECT ok.test:22 HTTP/1.1\nHost: ok.test",
    "CONNECT that hides plain HTTP": "CONNECT ok.test:80 HTTP/1.1\nHost: ok.test",
    "connect in lower case": "connect evil.test:EVIL HTTP/1.1\nHost: ok.test",
    "a WebSocket": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: Upgrade",
    "an upgrade to h2c": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: x\nUpgrade: h2c\nConnection: Upgrade",
    "HTTP/2 with prior knowledge": "PRI * HTTP/2.0\n\nSM",
    "HTTP/1.0": "GET http://evil.test:EVIL/ HTTP/1.0",
    "OPTIONS of everything": "OPTIONS * HTTP/1.1\nHost: evil.test:EVIL",
    "TRACE": "TRACE http://evil.test:EVIL/ HTTP/1.1\nHost: x",
    "both lengths": "POST http://evil.test:EVIL/ HTTP/1.1\nHost: x\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0",
    "an odd transfer encoding": "POST http://evil.test:EVIL/ HTTP/1.1\nHost: x\nTransfer-Encoding: xchunked\n\n0",
    "a destination for Envoy": "GET http://evil.test/ HTTP/1.1\nHost: x\nx-envoy-original-dst-host: 127.0.0.3:EVIL",
    "the gate's own name": "CONNECT policy.stockade.internal:443 HTTP/1.1\nHost: x",
    "localhost": "GET http://localhost:PRIVATE/ HTTP/1.1\nHost: x",
}


PRIVATE = "127.0.0.2"
METADATA = (
    "168.63.129.16",
    "100.100.100.200",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "instance-data",
)


def writings(address: str) -> tuple[str, ...]:
    """An IPv4 address in the ways that some parser somewhere reads: bases, parts, scripts, and within IPv6."""
    number = int(ipaddress.ip_address(address))
    octets = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    groups = f"{number >> 16:x}:{number & 0xFFFF:x}"
    return (
        address,
        f"{address}.",
        str(number),
        f"0x{number:x}",
        f"0{number:o}",
        ".".join(f"0{octet:o}" for octet in octets),
        ".".join(f"0x{octet:x}" for octet in octets),
        f"0x{octets[0]:x}.{octets[1]}.0{octets[2]:o}.{octets[3]}",
        f"{octets[0]}.{number & 0xFFFFFF}",
        f"{octets[0]}.{octets[1]}.{number & 0xFFFF}",
        f"{octets[0]}.{octets[1]}.{octets[2]}.0{octets[3]}",
        _in_digits("０", address),
        _in_digits("٠", address),
        _in_digits("०", address),
        _in_digits("𝟎", address),
        address.replace(".", "。"),
        address.replace(".", "｡"),
        f"[::{address}]",
        f"[::ffff:{address}]",
        f"[::ffff:{groups}]",
        f"[0:0:0:0:0:ffff:{groups}]",
        f"[64:ff9b::{groups}]",
        f"[64:ff9b:1::{groups}]",
        f"[2002:{groups}::]",
        f"127.0.0.1:80@{address}",
    )


def _in_digits(zero: str, address: str) -> str:
    return "".join(chr(ord(zero) + int(sign)) if sign.isdigit() else sign for sign in address)


NUMERIC = (
    *writings(PRIVATE),
    "127.2",
    "127.0.2",
    "①②⑦.0.0.2",
    "0",
    "[::1]",
    "[fe80::1%25lo]",
    "[::1",
    "::1",
    *writings("169.254.169.254"),
    *METADATA,
)

BEHIND = "GET http://evil.test:EVIL/ HTTP/1.1\nHost: x"
SMUGGLED = {
    "a second request behind the first": f"GET http://ok.test:OK/ HTTP/1.1\nHost: x\n\n{BEHIND}",
    "a request in a body": f"POST http://ok.test:OK/ HTTP/1.1\nHost: x\nContent-Length: 5\n\n{BEHIND}",
    "one after a chunk": f"POST http://ok.test:OK/ HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\n\n{BEHIND}",
}
"""Behind a request that may pass."""


def filled(text: str, ports: Mapping[str, int]) -> bytes:
    """A head as it is sent; `ports` has what `EVIL`, `OK` and `PRIVATE` stand for."""
    for name, port in ports.items():
        text = text.replace(f":{name}", f":{port}")
    return f"{text}\n\n".replace("\n", "\r\n").encode()


OK, EVIL = client_hello("ok.test"), client_hello("evil.test")

IN_TUNNELS = {
    "another name": [EVIL],
    "no name": [client_hello()],
    "an empty name": [client_hello("")],
    "another name after the right one": [client_hello("ok.test", "evil.test")],
    "another name before the right one": [client_hello("evil.test", "ok.test")],
    "a name below": [client_hello("sub.ok.test")],
    "the right name and a NUL": [client_hello("ok.test\0.evil.test")],
    "the right name and a dot": [client_hello("ok.test.")],
    "an address": [client_hello("127.0.0.1")],
    "another name, byte by byte": [EVIL[at : at + 1] for at in range(len(EVIL))],
    "another name, split within": [EVIL[:60], EVIL[60:]],
    "another name in small records": [in_records(EVIL, 16)],
    "another name in tiny records": [in_records(EVIL, 1)],
    "a hello that promises more than it says": [EVIL[:3] + b"\x40\x00" + EVIL[5:]],
    "a hello cut short, and plain HTTP": [OK[:40], b"GET / HTTP/1.1\r\n\r\n"],
    "plain HTTP": [b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n"],
    "an SSH banner": [b"SSH-2.0-OpenSSH_9.2p1\r\n"],
    "SOCKS": [b"\x05\x01\x00"],
    "HTTP/2 in the clear": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "another proxy's CONNECT": [b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n"],
    "zeroes": [bytes(2000)],
    "an alert": [b"\x15\x03\x01\x00\x02\x02\x28"],
    "SSL 2": [b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40)],
}
"""What is said inside a tunnel to `ok.test`, piece by piece, and leads to nothing."""

ADDRESSES = (
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.2",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:2",
    "::ffff:127.0.0.2",
    "64:ff9b::7f00:2",
    "64:ff9b:1::7f00:2",
    "2001::7f00:2",
    "2002:7f00:2::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)
"""Where a name leads that policy allows, and nobody goes."""
