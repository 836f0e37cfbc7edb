"""What proves a supervisor to be one where the kernel cannot say who dialled: a secret that no agent ever sees.

The first one lies in the sandbox's own directory, where the supervisor reads it and the host removes it before any
program of the agent starts. Each time a supervisor has proved itself it is given a new one over its line, so that each
is good for one time. The host keeps what is good in a file of its own, to know it again after a restart.
"""

import hmac
import json
import os
import secrets
from pathlib import Path

SECRET_FILE = "secret"  # noqa: S105 - its name
"""Its name in the sandbox's directory."""


class Secrets:
    """The secrets of one sandbox: `told` is where its supervisor reads the first, `kept` where the host keeps them."""

    def __init__(self, told: Path, kept: Path) -> None:
        self._told, self._kept = told, kept

    def issue(self, uid: int) -> None:
        """Makes the first, to be read by `uid`. Raises OSError."""
        secret = secrets.token_hex(32)
        self._keep([secret])
        _write(self._told, secret)
        os.chown(self._told, uid, uid)

    def inherit(self, good: list[str]) -> None:
        """It goes on from memory in which these are known. Raises OSError."""
        self._keep(good)

    @property
    def good(self) -> list[str]:
        """Those that prove its supervisor: one, or two while a new one is on the way."""
        try:
            return [str(secret) for secret in json.loads(self._kept.read_text())]
        except (OSError, ValueError):
            return []

    def proves(self, secret: object) -> bool:
        """Whether that is a good one; the others are good no longer, and what was to be read is gone."""
        known = [each for each in self.good if isinstance(secret, str) and hmac.compare_digest(each, secret)]
        if known:
            self._told.unlink(missing_ok=True)
            self._keep(known[:1])
        return bool(known)

    def renew(self) -> str:
        """A new one, good from now on beside the present one, which is lost with the line it is sent on."""
        secret = secrets.token_hex(32)
        self._keep([*self.good[-1:], secret])
        return secret

    def confirm(self) -> None:
        """The supervisor has the new one."""
        self._keep(self.good[-1:])

    def forget(self) -> None:
        """It has ended."""
        self._kept.unlink(missing_ok=True)

    def _keep(self, good: list[str]) -> None:
        new = self._kept.with_suffix(".new")
        _write(new, json.dumps(good))
        new.rename(self._kept)


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), "w") as file:
        file.write(text)
