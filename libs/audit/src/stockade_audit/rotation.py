"""A journal's key replaced by its own process, when the daemon asks for it.

The daemon cannot sign for a slot, and must not be able to. So it writes the public line of the key that is to go into
`<slot>.rotate`, beside the slot's directory; the writer, once it finds its own key there, makes another, begins a
segment whose header has the old key's signature over the new one, and only then lets go of the old. A file that names
another key has been dealt with.
"""

import time
from pathlib import Path
from typing import Final

from stockade_audit.entry import Action, Entry
from stockade_audit.keys import SigningKey, VerifierKey, sync_directory, write_durably
from stockade_audit.reader import rotations_of

CHECK_S: Final = 0.5
PAUSE_S: Final = 60.0  # a key is not replaced again before: each time costs a segment
_NEXT: Final = "signing.key.next"


def key_name(slot: str) -> str:
    """Under which a slot signs."""
    return f"stockade.dev/audit/{slot}"


def ask_rotation(root: Path, slot: str, key: str) -> None:
    """Ask the slot's process to replace this key."""
    write_durably(root / f"{slot}.rotate", f"{key}\n".encode(), 0o644)


def finish_rotation(directory: Path) -> None:
    """Take the new key if a crash came after its segment was begun; drop it if the crash came before."""
    path = directory / _NEXT
    if not path.exists():
        return
    following = SigningKey.load(path, key_name(directory.name)).verifier
    if any(VerifierKey.parse(rotation.split(" ")[0]) == following for rotation in rotations_of(directory)):
        path.rename(directory / "signing.key")
    else:
        path.unlink()
    sync_directory(directory)


class Rotation:
    """Of one journal's key; for the one thread that writes it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked = directory.with_name(f"{directory.name}.rotate")
        self._checked = 0.0
        self.is_begun = False

    def is_due(self, key: SigningKey) -> bool:
        """Whether this key is to be replaced; looked at twice a second."""
        now = time.monotonic()
        if now - self._checked < CHECK_S:
            return False
        self._checked = now
        try:
            self.is_begun = self._asked.read_text().strip() == str(key.verifier)
        except OSError:
            self.is_begun = False
        return self.is_begun

    def entry(self) -> Entry:
        """What the new key signs first."""
        return Entry(action=Action.KEY_ROTATED, reason="ASKED_FOR", resource=self._directory.name)

    def create(self) -> SigningKey:
        """The next key, kept aside."""
        self.is_begun, self._checked = False, time.monotonic() + PAUSE_S
        return SigningKey.create(self._directory / _NEXT, key_name(self._directory.name))

    def settle(self) -> None:
        """Put the next key in the place of the old one, which nothing brings back."""
        (self._directory / _NEXT).rename(self._directory / "signing.key")
        sync_directory(self._directory)
