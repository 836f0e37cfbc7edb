"""Ed25519 keys of journals and of the daemon: a private file that only its owner reads, and a public line.

The public line is the verifier key of C2SP signed-note: `name+hash+base64(0x01 ‖ key)`, where the hash is the first
four bytes of SHA-256(name ‖ "\\n" ‖ 0x01 ‖ key). It stays that of the first key: a rotation is a line by which a key
hands over to the next, `<the next one's public line> <base64 of the signature>`, signed over

    stockade.dev/audit/rotation
    <the key's public line>
    <the next one's public line>
"""

import base64
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stockade_audit.errors import AuditError

_ED25519 = b"\x01"  # C2SP signed-note's signature type


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under a name."""

    name: str
    key: bytes

    @property
    def hint(self) -> bytes:
        """The four bytes that tell signatures of one name apart."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.hint.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of such a line; AuditError when it is none."""
        try:
            name, hint, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise AuditError(f"not a verifier key: {text[:80]!r}; expected name+hash+base64") from error
        key = cls(name, raw[1:])
        if raw[:1] != _ED25519 or len(key.key) != 32 or key.hint.hex() != hint:
            raise AuditError(f"the verifier key of {name!r} is not Ed25519, or its hash does not fit")
        return key

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's for the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key under a name."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.verifier = VerifierKey(name, key.public_key().public_bytes_raw())
        self.sign = key.sign

    @classmethod
    def load_or_create(cls, path: Path, name: str) -> "SigningKey":
        """The key at `path` (32 raw bytes, mode 0600), made on first use; its verifier key stands in `path`.pub."""
        key = cls.load(path, name) if path.exists() else cls.create(path, name)
        public = path.with_suffix(".pub")
        if not public.exists():
            write_durably(public, f"{key.verifier}\n".encode(), 0o644)
        return key

    @classmethod
    def load(cls, path: Path, name: str) -> "SigningKey":
        """The key at `path`. Raises AuditError when it is none, OSError when it cannot be read."""
        raw = path.read_bytes()
        if len(raw) != 32:
            raise AuditError(f"{path} holds no Ed25519 key: restore it from its backup, or move it away for a new one")
        if path.stat().st_mode & 0o077:
            raise AuditError(f"{path} can be read by others: chmod 600 it")
        return cls(name, Ed25519PrivateKey.from_private_bytes(raw))

    @classmethod
    def create(cls, path: Path, name: str) -> "SigningKey":
        """A new key at `path`; its public line is not written down."""
        key = Ed25519PrivateKey.generate()
        write_durably(path, key.private_bytes_raw(), 0o600)
        return cls(name, key)

    def hand_over(self, to: VerifierKey) -> str:
        """The rotation by which another key takes this one's place."""
        return f"{to} {base64.b64encode(self.sign(_rotation_text(self.verifier, to))).decode()}"


def follow(key: VerifierKey, rotation: str) -> VerifierKey:
    """The key that took the place of `key`; AuditError unless that handed over to it."""
    try:
        text, signature = rotation.split(" ")
        following = VerifierKey.parse(text)
        is_signed = key.verifies(base64.b64decode(signature, validate=True), _rotation_text(key, following))
    except ValueError as error:
        raise AuditError(f"not a rotation: {rotation[:80]!r}") from error
    if not is_signed or following.name != key.name:
        raise AuditError(f"the key {key} did not hand over to {following}")
    return following


def follow_all(key: VerifierKey, rotations: Iterable[str]) -> VerifierKey:
    """The key in force after these; those that are not this key's (they came before it) are passed over."""
    for rotation in rotations:
        with suppress(AuditError):
            key = follow(key, rotation)
    return key


def _rotation_text(key: VerifierKey, to: VerifierKey) -> bytes:
    return f"stockade.dev/audit/rotation\n{key}\n{to}\n".encode()


def write_durably(path: Path, data: bytes, mode: int) -> None:
    """Put a whole file in place: written aside, synced, renamed, its directory synced."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(fd, mode)
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    aside.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
