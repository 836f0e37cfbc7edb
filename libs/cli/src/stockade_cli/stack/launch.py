"""The command line that starts a process with no more rights than it needs.

Services run under uids of their own. A checkout below a closed directory (a clone under /root, which is 0700) is out
of their reach: such a process gets a mount namespace in which the closed directory is an empty one that holds the
checkout alone, at the same path.
"""

import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from stockade_cli.stack.accounts import Account

# Sandboxes' loop mounts are let go of: a copy of one in here would keep its device busy after the host unmounts it.
# $1: the closed directory; $2: where to build its stand-in; $3: how many paths follow, then those, then the command.
_STAND_IN = """
set -e
closed=$1 stage=$2 count=$3; shift 3
mount -t tmpfs -o mode=0755,size=1m,nosuid,nodev stockade "$stage"
while [ "$count" -gt 0 ]; do
  mkdir -p "$stage${1#"$closed"}"
  mount --bind "$1" "$stage${1#"$closed"}"
  shift; count=$((count - 1))
done
mount --move "$stage" "$closed"
while read -r device point _; do
  case $device in /dev/loop*) umount --lazy "$point" 2>/dev/null || true ;; esac  # gone meanwhile: as well
done < /proc/self/mounts
exec "$@"
"""


def command_line(command: Sequence[str], account: Account | None, needed: Iterable[Path], stage: Path) -> list[str]:
    """`command` under `account`, able to read the directories `needed`; ends with whoever started it.

    `stage` is an empty directory outside any closed one. Without an account the process stays root.
    """
    if account is None:
        return ["setpriv", "--pdeathsig", "TERM", "--", *command]
    paths = list(needed)
    closed = closed_ancestor(paths)
    switched = [*_switch(account), *command]
    if closed is None:
        return switched
    inside = [str(path) for path in paths if path.is_relative_to(closed)]
    stand_in = ["sh", "-c", _STAND_IN, "sh", str(closed), str(stage), str(len(inside)), *inside]
    # Slave: an unmount on the host reaches the process too, where the host's mounts are shared.
    return ["unshare", "--mount", "--propagation", "slave", "--", *stand_in, *switched]


def closed_ancestor(paths: Iterable[Path]) -> Path | None:
    """The topmost directory above any of `paths` that others may not enter."""
    closed = {parent for path in paths for parent in path.resolve().parents if not parent.stat().st_mode & stat.S_IXOTH}
    return min(closed, key=lambda path: len(path.parts), default=None)


def _switch(account: Account) -> list[str]:
    groups = ["--groups", ",".join(map(str, account.groups))] if account.groups else ["--clear-groups"]
    return [
        "setpriv",
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        *groups,
        "--no-new-privs",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--pdeathsig=TERM",
        "--",
    ]
