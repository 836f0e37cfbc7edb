"""The directories that a stack lives in, and who may enter them: on a Unix socket the directory is the credential."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.sockets import answers

from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.settings import StackSettings
from stockade_cli.stack.accounts import Accounts
from stockade_cli.stack.launch import closed_ancestor

# Sticky where several uids make sockets or journals: each can remove only its own. The set-group bit hands the
# directory's group on to what is made in it.
OPEN, SHARED, PASSED, PRIVATE = 0o755, 0o3770, 0o710, 0o700
COMMON = 0o2770  # what one service leaves in it, another may have to finish and remove


@dataclass(frozen=True)
class Directory:
    """A directory as it has to be."""

    path: Path
    mode: int
    uid: int = 0
    gid: int = 0

    def make(self) -> None:
        """Create it, or give an existing one this owner and mode."""
        self.path.mkdir(exist_ok=True)
        os.chown(self.path, self.uid, self.gid)
        self.path.chmod(self.mode)


def directories(settings: StackSettings) -> list[Directory]:
    """Every directory of the stack, parents first."""
    run, state, accounts = settings.run_dir, settings.state_dir, Accounts(settings.uid_base)
    services, gate = accounts.services_gid, accounts.gate_gid
    people = [Directory(run / kind, OPEN) for kind in ("operators", "auditors")]
    people += [_personal(run / "operators", person, services) for person in (settings.person, *settings.operators)]
    people += [_personal(run / "auditors", person, services) for person in settings.auditors]
    return [
        Directory(run, OPEN),
        *people,
        Directory(run / "services", SHARED, gid=services),
        Directory(run / "gate", SHARED, gid=gate),
        Directory(run / "sidecar", SHARED, gid=accounts.sidecar_gid),
        # Whoever reaches a sandbox's sockets is its agent: they are for the sandbox, which has its own mounted, alone.
        Directory(run / "sb", PASSED, gid=gate),
        Directory(state, OPEN),
        Directory(settings.logs, 0o750),
        Directory(state / "audit", 0o750, accounts.base + 1, services),
        Directory(state / "audit" / "journals", SHARED, gid=services),
        Directory(state / "audit" / "keys", COMMON, gid=services),
        Directory(state / "policy", PRIVATE, accounts.base + 2, services),
        Directory(state / "cache", PRIVATE, accounts.base + 3, services),
        Directory(state / "sandbox", PRIVATE),
    ]


def prepare(settings: StackSettings) -> None:
    """Make them all. Raises CommandFailed when one cannot be made, or could not be reached by the services."""
    try:
        for place in (settings.run_dir, settings.state_dir):
            place.parent.mkdir(parents=True, exist_ok=True)
            _check_reach(place)
        _check_owner(settings)
        for directory in directories(settings):
            directory.make()
    except OSError as error:
        raise CommandFailed(
            f"{error.filename} cannot be made: {error.strerror}; choose another place with --run-dir or --state-dir"
        ) from error


def _check_reach(place: Path) -> None:
    if closed := closed_ancestor([place]):
        raise CommandFailed(
            f"{place} is below {closed}, which the services may not enter; choose another --run-dir or --state-dir"
        )


def _check_owner(settings: StackSettings) -> None:
    """What is in a state directory belongs to the uids that it was made under."""
    audit = settings.state_dir / "audit"
    owner = audit.stat().st_uid if audit.exists() else 0
    if owner not in (0, settings.uid_base + 1):
        raise CommandFailed(
            f"{settings.state_dir} belongs to uids from {owner - 1} on; set STOCKADE_STACK_UID_BASE={owner - 1}, "
            "or choose another --state-dir"
        )


_SOCKETS = ("operators/*/*.sock", "auditors/*/*.sock", "services/*.sock", "gate/*.sock", "sidecar/*.sock")


def claim_sockets(settings: StackSettings) -> None:
    """Remove the sockets that a killed stack left. Raises CommandFailed for one that somebody serves."""
    for path in (path for pattern in _SOCKETS for path in settings.run_dir.glob(pattern)):
        if answers(path):
            raise CommandFailed(f"{path} is served by another process; end that, or choose another --run-dir")
        path.unlink(missing_ok=True)


def _personal(parent: Path, person: str, gid: int) -> Directory:
    try:
        uid = pwd.getpwnam(person).pw_uid
    except KeyError:
        raise CommandFailed(
            f"{person!r} is no user of this machine; name an existing one in STOCKADE_STACK_OPERATORS", Exit.USAGE
        ) from None
    return Directory(parent / person, SHARED, uid, gid)
