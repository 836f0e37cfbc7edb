"""Addresses that no policy opens: private, link-local, metadata and every other special-purpose range.

Source: the IANA special-purpose address registries for IPv4 and IPv6, the deprecated site-local and 6to4 relay
ranges, and the metadata addresses that clouds answer outside of them. The gate refuses the same table on the
addresses that names resolve to.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_RANGES = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "100.100.100.200/32": "cloud metadata",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata",
    "169.254.0.0/16": "link-local and cloud metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/96": "unspecified, loopback and IPv4-compatible",
    "::ffff:0:0/96": "IPv4-mapped",
    "64:ff9b::/96": "NAT64",
    "64:ff9b:1::/48": "local NAT64",
    "100::/64": "discard",
    "2001::/23": "protocol assignments and Teredo",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "fc00::/7": "unique local",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}

SPECIAL_PURPOSE: dict[Network, str] = {ip_network(text): name for text, name in _RANGES.items()}


def special_purpose(address: Address) -> str | None:
    """Names the special-purpose range an address lies in; None for a public address."""
    return next((name for network, name in SPECIAL_PURPOSE.items() if address in network), None)
