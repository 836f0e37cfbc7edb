"""The ways out of a WHITELISTED sandbox, all of which lead to `egress.sock`.

An HTTP proxy on 127.0.0.1:3128, a DNS stub on 127.0.0.1:53, and, for programs that ignore proxies, ports 80 and 443 of
every address the stub has given away.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from . import dns
from .http_head import Requests
from .names import Names
from .reactor import READ, Reactor
from .relay import Change, Relay

PROXY_PORT, DNS_PORT, HTTP_PORT, HTTPS_PORT = 3128, 53, 80, 443

_MOST_CONNECTIONS = 256
_MOST_QUESTIONS = 32
_QUESTION_TIMEOUT_S = 5
_DNS_MESSAGE_LIMIT = 4096


class Doors:
    """Listens while open; closing cuts what runs through."""

    def __init__(self, egress: str, reactor: Reactor) -> None:
        self._egress = egress
        self._reactor = reactor
        self._names = Names()
        self._listeners: list[socket.socket] = []
        self._relays: set[Relay] = set()
        self._questions: set[socket.socket] = set()
        self._quiet = False
        self.open = False

    def quiesce(self) -> None:
        """Cuts what runs through and connects to the gate no more, until the host says again what shall be open."""
        self._quiet = True
        for relay in list(self._relays):
            relay.close()

    def set_open(self, wanted: bool) -> None:
        """Opens or closes all doors; a port that cannot be had is said on stderr and the others open."""
        self._quiet = False
        if wanted and not self.open:
            self._listen("127.0.0.1", PROXY_PORT, self._proxy)
            self._listen("0.0.0.0", HTTP_PORT, self._plain)  # noqa: S104 - only loopback exists here
            self._listen("0.0.0.0", HTTPS_PORT, self._tunnel)  # noqa: S104
            self._listen("127.0.0.1", DNS_PORT, self._dns_over_tcp)
            self._listen_dns()
        elif self.open and not wanted:
            for listener in self._listeners:
                self._reactor.forget(listener.fileno())
                listener.close()
            self._listeners.clear()
            for relay in list(self._relays):
                relay.close()
        self.open = wanted

    def _listen(self, address: str, port: int, serve: Callable[[socket.socket], None]) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        if self._bind(listener, address, port):
            listener.listen(128)
            self._watch(listener, lambda: self._accept(listener, serve))

    def _listen_dns(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        listener.setblocking(False)
        if self._bind(listener, "127.0.0.1", DNS_PORT):
            self._watch(listener, lambda: self._dns_over_udp(listener))

    def _bind(self, listener: socket.socket, address: str, port: int) -> bool:
        try:
            listener.bind((address, port))
        except OSError as error:
            os.write(2, f"the door on port {port} stays shut: {error}\n".encode())
            listener.close()
            return False
        return True

    def _watch(self, listener: socket.socket, serve: Callable[[], None]) -> None:
        self._listeners.append(listener)
        self._reactor.watch(listener.fileno(), READ, lambda _events: serve())

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        try:
            client, _address = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        if len(self._relays) >= _MOST_CONNECTIONS:
            client.close()
        else:
            serve(client)

    def _dns_over_udp(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            query, address = listener.recvfrom(_DNS_MESSAGE_LIMIT)
            reply = dns.answer(query, self._names)
            if reply is not None:
                listener.sendto(reply, address)

    def _dns_over_tcp(self, client: socket.socket) -> None:
        """One question a connection, for the few resolvers that insist on TCP."""
        if len(self._questions) >= _MOST_QUESTIONS:
            client.close()
            return
        self._questions.add(client)
        self._reactor.watch(client.fileno(), READ, lambda _events: self._answer_over_tcp(client))
        self._reactor.later(_QUESTION_TIMEOUT_S, lambda: self._hang_up(client))

    def _answer_over_tcp(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            message = client.recv(_DNS_MESSAGE_LIMIT)
            reply = dns.answer(message[2:], self._names)
            if reply is not None and int.from_bytes(message[:2], "big") == len(message) - 2:
                client.send(len(reply).to_bytes(2, "big") + reply)
        self._hang_up(client)

    def _hang_up(self, client: socket.socket) -> None:
        if client in self._questions:
            self._questions.discard(client)
            self._reactor.forget(client.fileno())
            client.close()

    def _proxy(self, client: socket.socket) -> None:
        self._join(client)

    def _plain(self, client: socket.socket) -> None:
        """Port 80 of a name: every request is made one for the proxy, so that each is judged by itself."""
        name = self._names.name(client.getsockname()[0])
        if name is None:
            client.close()
        else:
            self._join(client, change=Requests(name).feed)

    def _tunnel(self, client: socket.socket) -> None:
        """Port 443 of a name: a tunnel through the proxy to it. A refusal ends the connection without a word."""
        name = self._names.name(client.getsockname()[0])
        gate = self._dial() if name is not None else None
        if name is None or gate is None:
            client.close()
            return
        gate.send(f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n".encode())
        self._reactor.watch(gate.fileno(), READ, lambda _events: self._answered(client, gate, bytearray()))

    def _answered(self, client: socket.socket, gate: socket.socket, head: bytearray) -> None:
        """Reads the gate's answer to CONNECT; with a 200 the tunnel is there, and nothing may follow it yet."""
        self._reactor.forget(gate.fileno())
        try:
            head += gate.recv(16 * 1024)
        except OSError:
            head.clear()
        end = head.find(b"\r\n\r\n")
        if 0 <= end == len(head) - 4 and head[8:13] == b" 200 ":
            self._relays.add(Relay(client, gate, self._reactor, self._relays.discard))
        elif head and end < 0 and len(head) < 16 * 1024:
            self._reactor.watch(gate.fileno(), READ, lambda _events: self._answered(client, gate, head))
        else:
            gate.close()
            client.close()

    def _join(self, client: socket.socket, change: Change | None = None) -> None:
        gate = self._dial()
        if gate is None:
            client.close()
        else:
            self._relays.add(Relay(client, gate, self._reactor, self._relays.discard, change))

    def _dial(self) -> socket.socket | None:
        if self._quiet:
            return None
        gate = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        gate.setblocking(False)
        try:
            gate.connect(self._egress)
        except OSError:
            gate.close()
            return None
        return gate
