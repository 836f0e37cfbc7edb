"""What a supervisor is told to run."""

from stockade_sandbox.domain.execution import Command


def order(command: Command, file: dict[str, object] | None, subreaper: bool) -> dict[str, object]:
    """The payload of START, but for its note.

    `file`: a file operation that is done instead of a program. `subreaper`: see there.
    """
    size = command.terminal
    return {
        "args": list(command.args),
        "env": command.env,
        "cwd": command.cwd,
        "stdin": command.stdin,
        "terminal": {"rows": size.rows, "columns": size.columns} if size else None,
        "limits": command.limits,
        "subreaper": subreaper,
        **({"file": file} if file is not None else {}),
    }
