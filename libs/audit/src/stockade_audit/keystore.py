"""Keys of subjects: what is personal in an entry is sealed under one, and destroying it is how a subject is erased.

A key is for one subject, one class of entries and one month. It is durable before the first entry that needs it, has a
random number by which leaves name it, and once destroyed comes back neither by itself nor from a backup
(`tombstones.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from stockade_audit.errors import AuditError

KEY_BYTES: Final = 32  # AES-256


class KeysUnavailable(AuditError):
    """The key store cannot be read or written, so that nothing personal may be written either."""


@dataclass(frozen=True, slots=True)
class KeyName:
    """What a key is for. `month` is `2026-11`, of the time at which its entries are written."""

    subject: str
    entry_class: str
    month: str


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A key and the number that leaves know it by."""

    number: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key as a list shows it, without its secret."""

    number: int
    name: KeyName


class KeyStore(Protocol):
    """One store for all processes that write a record. Blocking; every method raises KeysUnavailable."""

    def obtain(self, names: Iterable[KeyName]) -> dict[KeyName, SubjectKey]:
        """The keys of these names, made where there are none; durable when this returns."""
        ...

    def find(self, numbers: Collection[int]) -> dict[int, bytes]:
        """The secrets of those that are kept."""
        ...

    def kept(self, subject: str = "") -> Sequence[KeptKey]:
        """The keys of a subject, or all."""
        ...

    def subjects(self) -> Collection[str]:
        """Whose keys are kept."""
        ...

    def destroy(self, numbers: Collection[int]) -> int:
        """Destroy keys for ever and begin a new generation, in one durable step; returns how many there were."""
        ...

    def generation(self) -> int:
        """Counts destructions: who holds keys in memory drops them when it is another than before."""
        ...

    def confirm(self, slot: str, generation: int) -> None:
        """The process of a slot holds no key that was destroyed up to this generation."""
        ...

    def confirmed(self) -> Mapping[str, int]:
        """What each slot has confirmed last."""
        ...

    def pseudonym_key(self) -> bytes:
        """The key under which ids become pseudonyms."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...
