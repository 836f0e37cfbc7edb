"""The addresses that the gate never connects to, whatever name led there."""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from stockade_network_policy.domain.addresses import SPECIAL_PURPOSE, Network, special_purpose


def refused(extra: Sequence[str] = (), exceptions: Iterable[str] = ()) -> list[str]:
    """Every refused network, as CIDR: special-purpose ones, the host's own addresses and `extra`.

    Single addresses in `exceptions` are taken out; a network around one is split as coarsely as that needs.
    """
    networks = list(dict.fromkeys([*SPECIAL_PURPOSE, *own(), *map(ipaddress.ip_network, extra)]))
    for address in map(ipaddress.ip_network, exceptions):
        networks = [piece for network in networks for piece in _without(network, address)]
    return [str(network) for network in networks]


def own(proc: Path = Path("/proc/net")) -> list[Network]:
    """The host's own addresses that are in no special-purpose network."""
    found = {*_own_v4(proc / "fib_trie"), *_own_v6(proc / "if_inet6")}
    return [
        ipaddress.ip_network(address)
        for address in sorted(found)
        if special_purpose(ipaddress.ip_address(address)) is None
    ]


def _own_v4(fib_trie: Path) -> list[str]:
    """Addresses of the local table: each stands on the line before its `/32 host LOCAL`."""
    lines = [line.split() for line in fib_trie.read_text().splitlines()] if fib_trie.exists() else []
    return [before[-1] for before, line in pairwise(lines) if line == ["/32", "host", "LOCAL"]]


def _own_v6(if_inet6: Path) -> list[str]:
    lines = if_inet6.read_text().splitlines() if if_inet6.exists() else []
    return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])) for line in lines]


def _without(network: Network, address: Network) -> Iterable[Network]:
    if isinstance(network, ipaddress.IPv4Network) and isinstance(address, ipaddress.IPv4Network):
        return network.address_exclude(address) if address.subnet_of(network) else [network]
    if isinstance(network, ipaddress.IPv6Network) and isinstance(address, ipaddress.IPv6Network):
        return network.address_exclude(address) if address.subnet_of(network) else [network]
    return [network]
