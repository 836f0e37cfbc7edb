"""A policy snapshot in this process: decides what it is sure of in under 2 µs, and leaves the rest to the service.

It is sure of plain ASCII names under an enforced policy. Everything that takes a table to judge (other scripts,
punycode, addresses, unknown names that may pass) is None here and asked of the service, so that the two cannot
disagree.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from stockade.networkpolicy.v1 import policy_pb2 as pb

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?", re.ASCII)
_LONGEST_NAME = 253
_REMEMBERED = 4096  # verdicts, before they are forgotten all at once


class LocalVerdict(NamedTuple):
    """What the policy says of a host and port."""

    allowed: bool
    rule: str
    reason: str


class SnapshotInvalid(ValueError):
    """The snapshot is not signed by the key that was pinned."""


class LocalPolicy:
    """The rules of one signed snapshot."""

    __slots__ = ("_domains", "_enforced", "_expire_s", "_narrowing", "_ports", "_remembered", "agent_type", "version")

    def __init__(self, signed: pb.SignedSnapshot, pinned_key: bytes | None = None) -> None:
        """`pinned_key` is the service's raw Ed25519 public key, for snapshots that did not just come from it.

        Raises SnapshotInvalid where the signature is not of that key.
        """
        if pinned_key is not None:
            _verify(signed, pinned_key)
        snapshot = pb.PolicySnapshot.FromString(signed.snapshot)
        policy = snapshot.policy
        self.agent_type = policy.agent_type
        self.version = policy.version
        self._domains = frozenset(policy.allowed_domains)
        self._narrowing = frozenset(snapshot.narrowing) if snapshot.narrowed else None
        self._ports = frozenset(policy.allowed_ports)
        self._enforced = policy.mode == pb.POLICY_MODE_ENFORCE and policy.block_unknown_domains
        life_s = (snapshot.expire_time.ToNanoseconds() - time.time_ns()) / 1e9
        self._expire_s = time.monotonic() + life_s
        self._remembered: dict[tuple[str, int], LocalVerdict | None] = {}

    @property
    def expired(self) -> bool:
        """Whether the service has to be asked for everything."""
        return time.monotonic() >= self._expire_s

    def decide(self, host: str, port: int = 443) -> LocalVerdict | None:
        """The service's verdict on a host and port; None where the service has to be asked."""
        if time.monotonic() >= self._expire_s:
            return None
        key = (host, port)
        try:
            return self._remembered[key]
        except KeyError:
            verdict = self._judge(host, port)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = verdict
        return verdict

    def _judge(self, host: str, port: int) -> LocalVerdict | None:
        if not self._enforced or len(host) > _LONGEST_NAME or not host.isascii():
            return None
        name = host.lower()
        if "xn--" in name or not _PLAIN.fullmatch(name):
            return None
        if self._narrowing is not None and not _match(self._narrowing, name):
            return LocalVerdict(False, "sandbox", f"{name} is not among the domains this sandbox was given")
        if port not in self._ports:
            return LocalVerdict(False, "allowed_ports", f"port {port} is not open to {self.agent_type}")
        if pattern := _match(self._domains, name):
            return LocalVerdict(True, f"allowed_domains:{pattern}", f"{pattern} is allowed to {self.agent_type}")
        return LocalVerdict(False, "block_unknown_domains", f"{name} is not among the domains of {self.agent_type}")


def _match(patterns: frozenset[str], name: str) -> str | None:
    """The pattern that holds `name`: itself, or a wildcard above it, the nearest first."""
    if name in patterns:
        return name
    dot = name.find(".")
    while dot >= 0:
        if (wildcard := f"*{name[dot:]}") in patterns:
            return wildcard
        dot = name.find(".", dot + 1)
    return None


def _verify(signed: pb.SignedSnapshot, key: bytes) -> None:
    """Needs the package `cryptography`, which the extra `verify` brings."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, signed.snapshot)
    except InvalidSignature:
        raise SnapshotInvalid("the policy snapshot is not signed by the service's key; take a new one") from None
