"""Each name that a program asks for gets a loopback address of its own, by which the doors know it again."""

from __future__ import annotations

import socket
import struct
from collections import OrderedDict

_FIRST = struct.unpack("!I", socket.inet_aton("127.1.0.1"))[0]
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")

CAPACITY = 4096
"""Names remembered at once; the one not asked for longest gives way, and its address is not used again soon."""


def canonical(name: str) -> str | None:
    """The name in lower case without its trailing dot, or None when it is no host name."""
    name = name.lower().rstrip(".")
    labels = name.split(".")
    if len(name) > 253 or not all(0 < len(label) < 64 and _LABEL.issuperset(label) for label in labels):
        return None
    return name


class Names:
    """A bounded two-way table of names and addresses."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._addresses: OrderedDict[str, str] = OrderedDict()
        self._names: dict[str, str] = {}
        self._next = 0

    def address(self, name: str) -> str:
        """The address of a canonical name, given to it now if it has none."""
        address = self._addresses.get(name)
        if address is None:
            address = self._give(name)
        self._addresses.move_to_end(name)
        return address

    def name(self, address: str) -> str | None:
        """The name that has this address."""
        return self._names.get(address)

    def _give(self, name: str) -> str:
        while len(self._addresses) >= self._capacity:
            _name, oldest = self._addresses.popitem(last=False)
            del self._names[oldest]
        address = self._free_address()
        self._addresses[name] = address
        self._names[address] = name
        return address

    def _free_address(self) -> str:
        """The next address around the ring of four million that no name has."""
        while True:
            address = socket.inet_ntoa(struct.pack("!I", _FIRST + self._next))
            self._next = (self._next + 1) % (1 << 22)
            if address not in self._names:
                return address
