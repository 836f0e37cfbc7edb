"""What is personal in an entry, sealed under its subject's key, and opened again as long as that key exists.

A leaf holds, for each subject it speaks of, in place of the personal members

    {"box": base64 of ciphertext, "hash": base64 of h, "key": number of the key, 16 hex digits}
    value = canonical JSON of these members     h = SHA-256(salt ‖ value), salt 16 random bytes
    ciphertext = AES-256-GCM(key, nonce = first 12 bytes of h, salt ‖ value)

The salt makes `h` say nothing by itself: who is shown salt and value can tie them to the leaf without any key, and once
the key is destroyed nobody can, not even by guessing. That the salt is random makes `h` a nonce that does not repeat.
"""

import os
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from orjson import Fragment

from stockade_audit.entry import Entry, class_of, encode_all, is_plain, leaf_fields, trim
from stockade_audit.keystore import KeyName, KeyStore

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
CONTENT: Final = ("agent", "metadata", "path", "resource", "truncated")  # sealed for whom the entry is about
_CACHED: Final = 65_536  # keys held in memory at a time
_CHECK_S: Final = 0.1  # how often a writer asks whether keys were destroyed
_PART: Final = b'{"box":"%b","hash":"%b","key":"%b"}'
_Key = tuple[bytes, Callable[[bytes, bytes, None], bytes]]  # its number, and AES-256-GCM of nonce and plaintext


class KeyNotHeld(Exception):
    """Keys have to be obtained before this can be sealed."""


def subjects_of(fields: dict[str, Any]) -> tuple[str, str]:
    """Whom an entry is about, and who else is named in it as a principal; empty for nobody. A service is no subject."""
    principal = "" if fields.get("principal_kind") in ("service", "SERVICE") else fields.get("principal", "")
    agent = fields.get("agent", "")
    if not agent or agent == principal:
        return principal, ""
    return agent, principal


def take_personal(fields: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Take what is personal out of a leaf's members: for each subject, what is to be sealed for it."""
    subject, other = subjects_of(fields)
    if not subject:
        return ()
    members: dict[str, Any] = {}
    for name in CONTENT:
        if name in fields:
            members[name] = fields.pop(name)
    if other:
        return (subject, members), (other, {"principal": fields.pop("principal")})
    if "principal" in fields and fields["principal"] == subject:
        members["principal"] = fields.pop("principal")
    return ((subject, members),)


class Sealer:
    """Makes leaves, for the one thread that writes a journal. Keys are held by subject and class, for one month."""

    def __init__(self, keys: KeyStore, slot: str, service: str) -> None:
        self._keys, self._slot, self._service = keys, slot, service
        self._held: dict[tuple[str, str], _Key] = {}
        self._month, self._generation, self._checked = "", -1, 0.0
        self._salts = list[bytes]()
        self.refresh()

    def refresh(self) -> None:
        """Drop what was destroyed, and say so; drop all when the month is over. Raises KeysUnavailable."""
        now = time.monotonic()
        if now - self._checked < _CHECK_S:
            return
        month = time.strftime("%Y-%m", time.gmtime())
        if (self._keys.generation(), month) != (self._generation, self._month):
            self._held.clear()
            self._month = month
            self.confirm()
        self._checked = now

    def confirm(self) -> None:
        """Hold no key, and say so durably. Raises KeysUnavailable."""
        generation = self._keys.generation()
        self._held.clear()
        self._keys.confirm(self._slot, generation)
        self._generation = generation

    def obtain(self, entries: Iterable[Entry]) -> None:
        """Hold the keys that these entries need, durably made where they are new. Raises KeysUnavailable."""
        wanted = set()
        for entry in entries:
            fields = trim(leaf_fields(entry, self._service))
            wanted |= {(subject, class_of(entry.action)) for subject in subjects_of(fields) if subject}
        if len(self._held) + len(wanted) > _CACHED:
            self._held.clear()
        names = [KeyName(subject, entry_class, self._month) for subject, entry_class in wanted - self._held.keys()]
        for name, key in self._keys.obtain(names).items():
            self._held[name.subject, name.entry_class] = b"%016x" % key.number, AESGCM(key.secret).encrypt

    def leaves(self, entries: Sequence[Entry]) -> list[bytes]:
        """The leaves of entries of one commit. Raises KeyNotHeld."""
        all_fields = [leaf_fields(entry, self._service) for entry in entries]
        try:
            return self._sealed([f if is_plain(e) else trim(f) for e, f in zip(entries, all_fields, strict=True)])
        except TypeError:  # something JSON has no form for
            return self._sealed([trim(leaf_fields(entry, self._service)) for entry in entries])

    def _sealed(self, leaves: list[dict[str, Any]]) -> list[bytes]:
        owners, members, keys = list[dict[str, Any]](), list[dict[str, Any]](), list[_Key]()
        for fields in leaves:
            entry_class = class_of(fields["action"])
            for subject, taken in take_personal(fields):
                owners.append(fields)
                members.append(taken)
                keys.append(self._key(subject, entry_class))
        for fields, part in zip(owners, self._seal(members, keys), strict=True):
            fields.setdefault("sealed", []).append(Fragment(part))
        return encode_all(leaves)

    def _key(self, subject: str, entry_class: str) -> _Key:
        try:
            return self._held[subject, entry_class]
        except KeyError:
            raise KeyNotHeld from None

    def _seal(self, members: list[dict[str, Any]], keys: list[_Key]) -> list[bytes]:
        """What stands in `sealed` for each of these, as JSON. One step for all after another: that costs less."""
        salted = [salt + value for salt, value in zip(self._draw(len(members)), encode_all(members), strict=True)]
        digests = [sha256(value).digest() for value in salted]
        return [
            _PART
            % (
                b2a_base64(encrypt(digest[:NONCE_BYTES], value, None), newline=False),
                b2a_base64(digest, newline=False),
                number,
            )
            for (number, encrypt), value, digest in zip(keys, salted, digests, strict=True)
        ]

    def _draw(self, count: int) -> list[bytes]:
        """Salts, asked of the system for many at a time."""
        while len(self._salts) < count:
            drawn = os.urandom(SALT_BYTES * 256)
            self._salts += [drawn[n : n + SALT_BYTES] for n in range(0, len(drawn), SALT_BYTES)]
        salts, self._salts = self._salts[:count], self._salts[count:]
        return salts


@dataclass(frozen=True, slots=True)
class Opening:
    """What ties values to a leaf without a key: SHA-256(salt ‖ value) is the hash of part `part` of its `sealed`."""

    part: int
    salt: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A leaf, its members with what could be opened among them, and what could not.

    `keys` has the numbers of the keys by which `agent` and `principal` were opened, 0 where they lie open. `erased`:
    a key was destroyed; `key_missing`: a key is gone that nobody destroyed.
    """

    leaf: bytes
    fields: dict[str, Any]
    openings: tuple[Opening, ...] = ()
    keys: dict[str, int] = field(default_factory=dict)
    erased: bool = False
    key_missing: bool = False


class Opener:
    """Opens leaves for readers, from any thread."""

    def __init__(self, keys: KeyStore, destroyed: Container[int] = ()) -> None:
        """`destroyed` holds the numbers of keys that were destroyed on purpose."""
        self._keys, self._destroyed = keys, destroyed
        self._held: dict[int, AESGCM] = {}
        self._generation, self._checked = -1, 0.0
        self._lock = Lock()

    def open(self, leaf: bytes) -> Opened:
        """The leaf opened as far as keys are kept. Raises KeysUnavailable."""
        fields = orjson.loads(leaf)
        sealed = fields.pop("sealed", None)
        if sealed is None:
            return Opened(leaf, fields)
        openings, keys, erased, missing = list[Opening](), dict[str, int](), False, False
        for part, box in enumerate(sealed):
            number = int(box["key"], 16)
            salted = self._unseal(number, box)
            if salted is None:
                erased, missing = erased or number in self._destroyed, missing or number not in self._destroyed
                continue
            value = salted[SALT_BYTES:]
            members = orjson.loads(value)
            fields |= members
            keys |= {name: number for name in ("agent", "principal") if name in members}
            openings.append(Opening(part, salted[:SALT_BYTES], value))
        return Opened(leaf, fields, tuple(openings), keys, erased, missing)

    def forget(self) -> None:
        """Hold no key any more."""
        with self._lock:
            self._held.clear()

    def _unseal(self, number: int, box: dict[str, str]) -> bytes | None:
        cipher = self._cipher(number)
        if cipher is None:
            return None
        digest = a2b_base64(box["hash"])
        try:
            return cipher.decrypt(digest[:NONCE_BYTES], a2b_base64(box["box"]), None)
        except InvalidTag:  # not what a writer left: `verify` finds it
            return None

    def _cipher(self, number: int) -> AESGCM | None:
        if number in self._destroyed:
            return None
        with self._lock:
            self._refresh()
            if number not in self._held and (secret := self._keys.find([number]).get(number)):
                if len(self._held) >= _CACHED:
                    self._held.clear()
                self._held[number] = AESGCM(secret)
            return self._held.get(number)

    def _refresh(self) -> None:
        """Notice what other processes did: keys destroyed, or a store restored."""
        now = time.monotonic()
        if now - self._checked > _CHECK_S:
            self._checked = now
            if (generation := self._keys.generation()) != self._generation:
                self._held.clear()
                self._generation = generation
