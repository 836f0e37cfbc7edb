"""Checkpoints of a journal's tree: the C2SP tlog-checkpoint text, signed as a C2SP signed note."""

import base64
from dataclasses import dataclass

from stockade_audit.errors import AuditError
from stockade_audit.keys import SigningKey, VerifierKey


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`size` leaves of the log `origin` have this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """The checkpoint of a note's text; AuditError when it is none."""
        try:
            origin, size, root = text.split("\n")[:3]
            return cls(origin, int(size), base64.b64decode(root, validate=True))
        except ValueError as error:
            raise AuditError(f"not a checkpoint: {text[:80]!r}") from error


def sign_note(text: str, key: SigningKey) -> bytes:
    """The text, an empty line, and one signature line `— name base64(hint ‖ signature)`."""
    signature = base64.b64encode(key.verifier.hint + key.sign(text.encode())).decode()
    return f"{text}\n— {key.verifier.name} {signature}\n".encode()


def open_note(note: bytes, key: VerifierKey) -> str:
    """The text of a note that this key has signed; AuditError when it has not."""
    text, separator, signatures = note.decode("utf-8", "replace").rpartition("\n\n")
    text += "\n"
    prefix = f"— {key.name} "
    for line in signatures.splitlines() if separator else ():
        if line.startswith(prefix) and _signed(line.removeprefix(prefix), text, key):
            return text
    raise AuditError(f"the note is not signed by {key.name}")


def _signed(encoded: str, text: str, key: VerifierKey) -> bool:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    return raw[:4] == key.hint and key.verifies(raw[4:], text.encode())
