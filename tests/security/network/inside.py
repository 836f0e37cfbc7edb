"""Runs inside a sandbox, with nothing but Python's own library: python3 inside.py, the attempts on stdin, as JSON.

    {"a name": {"how": "say", "pieces": ["<hex>"]}, "another": {"how": "tunnel", "target": "host:port", …}, …}

Prints, as JSON, what came of each: {"name": {"status": …, "decision": …, "received": …}}.
"""

import ctypes
import json
import os
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

GATE = ("127.0.0.1", 3128)
PATIENCE_S = 12.0
PAUSE_S = 0.012
"""Between two attempts: who asks faster is refused for that alone."""

Told = dict[str, Any]


def say(pieces: list[bytes], **_: Any) -> Told:
    """Bytes to the proxy, and its answer; the status 0 is a connection that was closed without one."""
    with socket.create_connection(GATE, PATIENCE_S) as gate:
        return _exchange(gate, pieces)


def transparent(pieces: list[bytes], host: str, port: int, **_: Any) -> Told:
    """Bytes to a name's own port, as a program does that knows no proxy."""
    try:
        with socket.create_connection((host, port), PATIENCE_S) as world:
            return _exchange(world, pieces)
    except OSError as error:
        return {"status": 0, "decision": "", "refused": type(error).__name__}


def tunnel(target: str, pieces: list[bytes], **_: Any) -> Told:
    """What comes back out of a tunnel after `pieces`; its CONNECT has to be allowed."""
    with _tunnel(target) as gate:
        try:
            for piece in pieces:
                gate.sendall(piece)
                time.sleep(0 if len(pieces) > 10 else 0.02)
            gate.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was ended before all was said
        return {"received": len(_all(gate))}


def tls(target: str, server_name: str | None, **_: Any) -> Told:
    """A request in TLS under a server name of one's choice."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _tunnel(target) as gate, context.wrap_socket(gate, server_hostname=server_name) as world:
            world.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return {"received": len(_all(world))}
    except OSError:
        return {"received": 0}


def follow(url: str, **_: Any) -> Told:
    """What a program gets that goes where it is led."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return {"status": answer.status, "url": answer.url}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "url": error.url, "decision": error.headers.get("x-stockade-decision", "")}


def kernel(call: str, **_: Any) -> Told:
    """Something that no gate sees, because the sandbox's own kernel refuses it: the name of that refusal."""
    try:
        KERNEL[call]()
    except OSError as error:
        return {"refused": type(error).__name__, "errno": error.errno}
    return {"refused": ""}


def _exchange(peer: socket.socket, pieces: list[bytes]) -> Told:
    try:
        for piece in pieces:
            peer.sendall(piece)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := peer.recv(65536)):
            answer += data
    except TimeoutError:
        return {"status": -1, "decision": ""}
    except OSError:
        return {"status": 0, "decision": ""}
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    if not head:
        return {"status": 0, "decision": ""}
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    return {"status": int(head.split(" ")[1]), "decision": headers.get("x-stockade-decision", "")}


def _tunnel(target: str) -> socket.socket:
    gate = socket.create_connection(GATE, PATIENCE_S)
    gate.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += gate.recv(1)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(answer.decode("latin-1"))
    return gate


def _all(peer: socket.socket) -> bytes:
    received = b""
    try:
        while data := peer.recv(65536):
            received += data
    except OSError:
        pass
    return received


def _udp(address: str, port: int, family: int = socket.AF_INET) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.sendto(bytes(32), (address, port))


def _tcp(address: str, port: int) -> None:
    socket.create_connection((address, port), 3).close()


def _raw(family: int, protocol: int, kind: int = socket.SOCK_RAW) -> None:
    socket.socket(family, kind, protocol).close()


def _new_address() -> None:
    """RTM_NEWADDR: another address for lo (rtnetlink(7))."""
    body = struct.pack("=BBBBI", socket.AF_INET, 8, 0, 0, 1) + struct.pack("=HH4s", 8, 2, bytes([10, 0, 0, 1]))
    head = struct.pack("=IHHII", 16 + len(body), 20, 0x405, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.sendto(head + body, (0, 0))
        code = struct.unpack("=i", netlink.recv(4096)[16:20])[0]
    if code:
        raise OSError(-code, os.strerror(-code))


def _syscall(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _other_network() -> None:
    """The network of whoever made PID 1: nobody in here may look."""
    with open("/proc/1/ns/net", "rb") as network:
        _syscall("setns", network.fileno(), 0)


def _unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)


CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
_METADATA, _PUBLIC, _PUBLIC6 = "169.254.169.254", "1.1.1.1", "2606:4700:4700::1111"
KERNEL = {
    "TCP to a public address": lambda: _tcp(_PUBLIC, 443),
    "TCP to a public address, IPv6": lambda: _tcp(_PUBLIC6, 443),
    "TCP to a private address": lambda: _tcp("10.0.0.1", 22),
    "TCP to the engine's bridge": lambda: _tcp("172.17.0.1", 2375),
    "TCP to the metadata service": lambda: _tcp(_METADATA, 80),
    "TCP to the metadata service, IPv6": lambda: _tcp("fd00:ec2::254", 80),
    "TCP to a mapped address": lambda: _tcp("::ffff:169.254.169.254", 80),
    "TCP to a NAT64 address": lambda: _tcp("64:ff9b::a9fe:a9fe", 80),
    "UDP, as DNS, to a public resolver": lambda: _udp(_PUBLIC, 53),
    "UDP, as QUIC": lambda: _udp(_PUBLIC, 443),
    "UDP, IPv6": lambda: _udp(_PUBLIC6, 53, socket.AF_INET6),
    "UDP to the metadata service": lambda: _udp(_METADATA, 80),
    "UDP broadcast": lambda: _udp("255.255.255.255", 67),
    "UDP multicast": lambda: _udp("224.0.0.251", 5353),
    "raw IP": lambda: _raw(socket.AF_INET, socket.IPPROTO_RAW),
    "raw ICMP": lambda: _raw(socket.AF_INET, socket.IPPROTO_ICMP),
    "raw ICMP, IPv6": lambda: _raw(socket.AF_INET6, socket.IPPROTO_ICMPV6),
    "raw frames": lambda: _raw(socket.AF_PACKET, socket.htons(3)),
    "SCTP": lambda: _raw(socket.AF_INET, 132, socket.SOCK_STREAM),
    "a virtual machine's socket": lambda: _raw(40, 0, socket.SOCK_STREAM),
    "Bluetooth": lambda: _raw(31, 1, socket.SOCK_RAW),
    "another address for lo": _new_address,
    "a network of one's own": lambda: _syscall("unshare", CLONE_NEWNET),
    "a network of one's own, as another user": lambda: _syscall("unshare", CLONE_NEWUSER | CLONE_NEWNET),
    "another's network": _other_network,
    "Docker": lambda: _unix("/var/run/docker.sock"),
    "the gate's administration": lambda: _unix("/run/stockade/../gate/admin.sock"),
    "the operator's socket": lambda: _unix("/run/stockade/../../operators/root/policy.sock"),
}
"""What the sandbox's own kernel has to refuse."""

HOW = {each.__name__: each for each in (say, transparent, tunnel, tls, follow, kernel)}


def attempt(wanted: dict[str, Any]) -> Told:
    """One of them, `after` so many seconds."""
    time.sleep(wanted.pop("after", 0))
    wanted["pieces"] = [bytes.fromhex(piece) for piece in wanted.get("pieces", [])]
    return HOW[wanted["how"]](**wanted)


if __name__ == "__main__":
    attempts, begun = json.load(sys.stdin), {}
    with ThreadPoolExecutor(64) as pool:
        for name, each in attempts.items():
            begun[name] = pool.submit(attempt, each)
            time.sleep(PAUSE_S)
        told = {name: result.result() for name, result in begun.items()}
    print(json.dumps(told))
