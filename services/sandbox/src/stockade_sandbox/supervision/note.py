"""What the host has a supervisor keep of an exec, so that a restarted service knows it again.

It comes back from inside the sandbox, so it is checked, and nothing but that sandbox's own exec hangs on it.
"""

import json
import re

from stockade_sandbox.cgroups import ExecCgroup
from stockade_sandbox.domain.execution import Command, TerminalSize
from stockade_sandbox.supervisor.frames import FrameError

_ID = re.compile(r"ex-[a-z2-7]{12}")
_MOST_ARGS, _LONGEST_ARG = 16, 128


def write_note(exec_id: str, cgroup: ExecCgroup | None, command: Command) -> str:
    """The note of a new exec; long arguments are cut, since they serve for listing only."""
    note: dict[str, object] = {
        "exec": exec_id,
        "cgroup": cgroup.name if cgroup is not None else "",
        "args": [arg[:_LONGEST_ARG] for arg in command.args[:_MOST_ARGS]],
        "timeout_s": command.timeout_s,
        "max_output_bytes": command.max_output_bytes,
    }
    if command.terminal is not None:
        note["terminal"] = [command.terminal.rows, command.terminal.columns]
    return json.dumps(note, separators=(",", ":"))


def read_note(text: str) -> tuple[str, str, Command]:
    """The exec's id, its cgroup's name (older notes have none: the id), and what was ordered. Raises FrameError."""
    try:
        note = json.loads(text)
        exec_id = note["exec"]
        cgroup = note.get("cgroup") or exec_id
        if not _ID.fullmatch(exec_id) or not _ID.fullmatch(cgroup):
            raise ValueError("no id")
        terminal = note.get("terminal")
        command = Command(
            args=tuple(str(arg)[:_LONGEST_ARG] for arg in note["args"][:_MOST_ARGS]),
            timeout_s=min(max(float(note["timeout_s"]), 0.0), 604800.0),
            max_output_bytes=max(0, int(note["max_output_bytes"])),
            terminal=TerminalSize(int(terminal[0]), int(terminal[1])) if terminal else None,
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise FrameError("a note that is not ours") from error
    return exec_id, cgroup, command
