"""Keys in memory: for tests and benchmarks that keep no record."""

import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence

from stockade_audit.keystore import KEY_BYTES, KeptKey, KeyName, SubjectKey


class MemoryKeyStore:
    """Gone with the process."""

    def __init__(self) -> None:
        self._keys: dict[KeyName, SubjectKey] = {}
        self._generation = 0
        self._confirmed: dict[str, int] = {}
        self._pseudonym_key = os.urandom(KEY_BYTES)

    def obtain(self, names: Iterable[KeyName]) -> dict[KeyName, SubjectKey]:
        wanted = list(names)
        for name in wanted:
            self._keys.setdefault(name, SubjectKey(secrets.randbits(63), os.urandom(KEY_BYTES)))
        return {name: self._keys[name] for name in wanted}

    def find(self, numbers: Collection[int]) -> dict[int, bytes]:
        return {key.number: key.secret for key in self._keys.values() if key.number in numbers}

    def kept(self, subject: str = "") -> Sequence[KeptKey]:
        found = [KeptKey(key.number, name) for name, key in self._keys.items() if subject in ("", name.subject)]
        return sorted(found, key=lambda kept: (kept.name.subject, kept.name.entry_class, kept.name.month))

    def subjects(self) -> Collection[str]:
        return {name.subject for name in self._keys}

    def destroy(self, numbers: Collection[int]) -> int:
        gone = [name for name, key in self._keys.items() if key.number in numbers]
        for name in gone:
            del self._keys[name]
        self._generation += bool(gone)
        return len(gone)

    def generation(self) -> int:
        return self._generation

    def confirm(self, slot: str, generation: int) -> None:
        self._confirmed[slot] = generation

    def confirmed(self) -> Mapping[str, int]:
        return dict(self._confirmed)

    def pseudonym_key(self) -> bytes:
        return self._pseudonym_key

    def close(self) -> None:
        pass
