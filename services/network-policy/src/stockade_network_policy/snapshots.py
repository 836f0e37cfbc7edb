"""Policies as in-process deciders take them: serialized, signed, and good for a minute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from stockade.networkpolicy.v1 import policy_pb2 as pb

from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.policy import Rules
from stockade_network_policy.handlers.messages import policy_message, timestamp

_LOOK_SECONDS = 0.1  # how often a watch looks whether something else holds: two look-ups in memory

Narrowing = Callable[[str], tuple[str, ...] | None]
"""The domains that a sandbox was narrowed to; None where it was not."""


class Signer:
    """An Ed25519 key of the service's own, made on first use and kept in a file of mode 0600."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _create(path)
        self._key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, 64 bytes."""
        return self._key.sign(data)


def _create(path: Path) -> None:
    """Writes a new key, unless another replica was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


class Snapshots:
    """Signed snapshots of what holds for an agent: its type's policy, and its sandbox's narrowing."""

    def __init__(self, catalogue: Catalogue, narrowing: Narrowing, signer: Signer, lifetime_s: float) -> None:
        self._catalogue = catalogue
        self._narrowing = narrowing
        self._signer = signer
        self._lifetime_s = lifetime_s

    def take(self, agent_type: str, sandbox: str = "") -> pb.SignedSnapshot:
        """What holds now."""
        now_ns = time.time_ns()
        rules, narrowing = self._holding(agent_type, sandbox)
        snapshot = pb.PolicySnapshot(
            agent_type=agent_type,
            policy=policy_message(rules.policy),
            create_time=timestamp(now_ns),
            expire_time=timestamp(now_ns + round(self._lifetime_s * 1e9)),
            narrowed=narrowing is not None,
            narrowing=narrowing or (),
        ).SerializeToString()
        return pb.SignedSnapshot(
            snapshot=snapshot, signature=self._signer.sign(snapshot), public_key=self._signer.public_key
        )

    async def watch(self, agent_type: str, sandbox: str = "") -> AsyncIterator[pb.SignedSnapshot]:
        """A snapshot at once, after each change, and while the last one still has half its life."""
        while True:
            held = self._holding(agent_type, sandbox)
            yield self.take(agent_type, sandbox)
            for _ in range(round(self._lifetime_s / 2 / _LOOK_SECONDS)):
                await asyncio.sleep(_LOOK_SECONDS)
                if not _same(self._holding(agent_type, sandbox), held):
                    break

    def _holding(self, agent_type: str, sandbox: str) -> tuple[Rules, tuple[str, ...] | None]:
        return self._catalogue.rules(agent_type), self._narrowing(sandbox) if sandbox else None


def _same(one: tuple[Rules, object], other: tuple[Rules, object]) -> bool:
    return one[0] is other[0] and one[1] == other[1]
