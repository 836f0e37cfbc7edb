"""The one place where a failure becomes one line on stderr and an exit code (docs/cli.md lists them)."""

import os
from enum import IntEnum

import click
import grpc
from stockade_agent.errors import Exhausted, InvalidRequest, NotFound, Refused, StockadeError, Unreachable, Untrusted


class Exit(IntEnum):
    """Exit codes. `stockade run` and `stockade sandbox exec` end with the command's own, or with one from 124 on."""

    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    TIMEOUT = 124
    """As timeout(1)."""
    NOT_RUN = 125
    """As docker-run(1): the command was never started."""
    INTERRUPTED = 130


class CommandFailed(click.ClickException):
    """Ends the command with one line that names the mend."""

    def __init__(self, line: str, exit_code: int = Exit.FAILED) -> None:
        super().__init__(line)
        self.code = exit_code


_CODES: tuple[tuple[type[StockadeError], Exit], ...] = (
    (Unreachable, Exit.UNREACHABLE),
    (NotFound, Exit.NOT_FOUND),
    (Refused, Exit.REFUSED),
    (Exhausted, Exit.REFUSED),
    (InvalidRequest, Exit.USAGE),
)


def failed(error: grpc.RpcError | StockadeError) -> CommandFailed:
    """`error` as the command's end."""
    known = error if isinstance(error, StockadeError) else StockadeError.of(error)
    code = next((exit_code for kind, exit_code in _CODES if isinstance(known, kind)), Exit.FAILED)
    return CommandFailed(_line(known), code)


def _line(error: StockadeError) -> str:
    if isinstance(error, Untrusted):
        return error.message
    if isinstance(error, Unreachable) and not error.reason:
        if address := os.environ.get("STOCKADE_STACK_ADDRESS"):
            return f"nobody answers at {address}; is STOCKADE_STACK_ADDRESS right, and does the stack there run?"
        return "no stack answers on its sockets; start one with: stockade up"
    fields = "; ".join(f"{field}: {wrong}" for field, wrong in error.violations)
    text = f"{error.message} ({fields})" if fields and fields not in error.message else error.message
    return f"{' '.join(text.split())} [{error.reason or error.code}]"
