"""One canonical form for the hosts that policies store and agents ask for.

A host is canonical by UTS 46 (non-transitional, STD3), in ASCII, lower case, without a trailing dot. What two
parsers could read differently has no canonical form and is refused: numeric hosts in any base or script but plain
dotted decimal (a last label that looks like a number makes a host numeric, as in the WHATWG URL standard), zone
ids, percent escapes, empty labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import idna
from publicsuffixlist import PublicSuffixList

from stockade_network_policy.domain.addresses import Address

LONGEST_TYPED = 1024  # characters we look at; a canonical host has at most 253

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_CANONICAL = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_NOT_PUBLIC = frozenset(("alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"))


class HostInvalid(ValueError):
    """The text has no canonical form; the message says why, for people."""


class NumberInvalid(HostInvalid):
    """The text is meant for an IPv4 address, in a writing that parsers read differently."""


class PatternInvalid(ValueError):
    """The text is no pattern for a domain list; `mend` says what to write."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.mend = mend


class Host(NamedTuple):
    """A canonical host: a name, or an address and its text."""

    name: str
    address: Address | None = None


@lru_cache(maxsize=16384)
def canonical_host(typed: str) -> Host:
    """The canonical form of a host as someone typed it, without a port.

    Raises `HostInvalid` where it has none.
    """
    if not typed:
        raise HostInvalid("the host is empty")
    if len(typed) > LONGEST_TYPED:
        raise HostInvalid(f"the host has {len(typed)} characters, more than any name")
    if ":" in typed or typed.startswith("["):
        return _ipv6(typed)
    name = _mapped(typed).removesuffix(".")
    if _is_numeric(name):
        return _ipv4(typed)
    if len(name) > 253 or not _CANONICAL.fullmatch(name):
        raise HostInvalid(f"{_shown(typed)} is not a host name: labels of letters, digits and hyphens, 253 in all")
    return Host(name)


def _shown(typed: str) -> str:
    return ascii(typed if len(typed) <= 80 else typed[:77] + "...")


def _ipv6(typed: str) -> Host:
    text = typed[1:-1] if typed.startswith("[") and typed.endswith("]") else typed
    try:
        address = IPv6Address(text)
    except ValueError:
        raise HostInvalid(f"{_shown(typed)} is neither a name nor an IPv6 address") from None
    if address.scope_id is not None:
        raise HostInvalid(f"{_shown(typed)} names a zone of some machine")
    return Host(str(address), address)


def _ipv4(typed: str) -> Host:
    try:
        address = IPv4Address(typed)  # refuses leading zeroes, other bases, fewer parts
    except ValueError:
        raise NumberInvalid(
            f"{_shown(typed)} is a number that parsers read differently; write the address in dotted decimal"
        ) from None
    if str(address) != typed:
        raise NumberInvalid(f"{_shown(typed)} is not plain dotted decimal; write {address}")
    return Host(typed, address)


def _mapped(typed: str) -> str:
    """UTS 46 in ASCII. Plain names skip the library; punycode and everything else goes through it."""
    lower = typed.lower()
    if typed.isascii() and "xn--" not in lower:
        return lower
    try:
        mapped = idna.uts46_remap(typed, std3_rules=True, transitional=False).removesuffix(".")
        if _is_numeric(mapped):
            return mapped
        return ".".join(_ascii_label(label) for label in mapped.split("."))
    except (idna.IDNAError, UnicodeError) as error:
        raise HostInvalid(f"{_shown(typed)} is not an internationalised name: {error}") from None


def _ascii_label(label: str) -> str:
    """A label as IDNA 2008 writes it; a punycode label must decode to what encodes to it."""
    if label.isascii() and not label.startswith("xn--"):
        return label
    return idna.alabel(idna.ulabel(label)).decode("ascii")


def _is_numeric(name: str) -> bool:
    """Whether the last label is a number in any base or script, which makes parsers try an address."""
    last = name.rpartition(".")[2]
    return bool(last) and (last.isnumeric() or _NUMBER.fullmatch(last) is not None)


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@lru_cache(maxsize=1)
def _registry_suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


def is_public_suffix(name: str) -> bool:
    """Whether anyone may register names right below `name` (both sections of the list; an unknown TLD is one).

    The list's own wildcards make a suffix of each child: then the name above them is as open as they are.
    """
    return any(_suffixes().privatesuffix(candidate) is None for candidate in (name, f"any.{name}"))


@lru_cache(maxsize=16384)
def is_public_name(name: str) -> bool:
    """Whether the name can exist in the public DNS: below a listed suffix, and under no special-use one."""
    if name.rpartition(".")[2] in _NOT_PUBLIC:
        return False
    return _suffixes().privatesuffix(name, accept_unknown=False) is not None


@lru_cache(maxsize=65536)
def canonical_pattern(written: str) -> str:
    """The canonical form of an entry of a domain list: `x.com`, or `*.x.com`.

    Raises `PatternInvalid`, with the mend, for anything else.
    """
    text = written.strip()
    _refuse_what_is_no_host(text)
    wildcard = text.startswith("*.")
    host = _pattern_host(text.removeprefix("*."), written)
    if wildcard and is_public_suffix(host):
        raise PatternInvalid(
            f"{text} would open every site below the public suffix {host}", f"name the sites, e.g. *.example.{host}"
        )
    if not wildcard and (host == "localhost" or host.endswith(".localhost")):
        raise PatternInvalid(f"{text} is the machine itself, which no policy opens", "remove it")
    if not wildcard and _registry_suffixes().privatesuffix(host) is None:
        raise PatternInvalid(f"{text} is a public suffix and no site", f"name the sites, e.g. example.{host}")
    return f"*.{host}" if wildcard else host


def _refuse_what_is_no_host(text: str) -> None:
    if not text:
        raise PatternInvalid("an empty domain", "remove it, or name a host")
    if text == "*":
        raise PatternInvalid(
            "* would open every host", "name the hosts, or set block_unknown_domains: false to let public names pass"
        )
    if "://" in text or "/" in text:
        host = re.sub(r"^[^/]*://", "", text).split("/")[0]
        raise PatternInvalid(f"{text} is a URL; a policy knows hosts", f"write {host or 'the host alone'}")
    if text.startswith("."):
        raise PatternInvalid(
            f"{text} begins with a dot", f"write *{text} for any depth below, or {text[1:]} for itself"
        )
    if "*" in text.removeprefix("*."):
        raise PatternInvalid(f"{text} has a wildcard that is not its first label", "write *.x.com, or name the hosts")


def _pattern_host(text: str, written: str) -> str:
    name, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in name:
        raise PatternInvalid(f"{written} names a port", f"write {name}, and the port in allowed_ports")
    try:
        host = canonical_host(text)
    except NumberInvalid:
        raise PatternInvalid(f"{written} is an IP address", "write the host's name: addresses change hands") from None
    except HostInvalid as error:
        raise PatternInvalid(str(error), "write the host's name in its usual form, e.g. api.example.com") from None
    if host.address is not None:
        raise PatternInvalid(f"{written} is an IP address", "write the host's name: addresses change hands")
    return host.name


class DomainSet:
    """Canonical patterns, ready to match."""

    __slots__ = ("_below", "_exact", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(sorted(set(patterns)))
        self._exact = frozenset(p for p in self.patterns if not p.startswith("*."))
        self._below = frozenset(p[2:] for p in self.patterns if p.startswith("*."))

    def match(self, name: str) -> str | None:
        """The pattern that holds `name`, the most specific first; None where none does."""
        if name in self._exact:
            return name
        return next((f"*.{parent}" for parent in parents(name) if parent in self._below), None)

    def covers(self, pattern: str) -> bool:
        """Whether every host of `pattern` is in the set by one pattern."""
        if not pattern.startswith("*."):
            return self.match(pattern) is not None
        base = pattern[2:]
        return base in self._below or any(parent in self._below for parent in parents(base))


def parents(name: str) -> Iterator[str]:
    """The names above a name, nearest first: `a.b.c` gives `b.c`, `c`."""
    dot = name.find(".")
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(".", dot + 1)
