"""The execs of one sandbox that can be asked about."""

from stockade_sandbox.domain.errors import RequestIdReused
from stockade_sandbox.domain.execution import Command, ExecNotFound
from stockade_sandbox.supervision.execution import Execution

MOST_ENDED = 32
"""Ended execs that can still be asked about, output included."""


class Roster:
    """Those that run, and the last that ended."""

    def __init__(self, sandbox: str) -> None:
        self._sandbox = sandbox
        self._by_id: dict[str, Execution] = {}

    def add(self, execution: Execution) -> None:
        """One more."""
        self._by_id[execution.id] = execution

    def find(self, exec_id: str) -> Execution:
        """The exec of that id. Raises ExecNotFound."""
        try:
            return self._by_id[exec_id]
        except KeyError:
            raise ExecNotFound(self._sandbox, exec_id) from None

    def requested(self, request_id: str, command: Command) -> Execution | None:
        """The exec that this request started, if it did. Raises RequestIdReused."""
        for execution in self._by_id.values():
            if request_id and execution.request_id == request_id:
                if execution.command != command:
                    raise RequestIdReused(request_id)
                return execution
        return None

    def all(self) -> list[Execution]:
        """All, newest first."""
        return sorted(self._by_id.values(), key=lambda item: item.number, reverse=True)

    def finished(self, execution: Execution) -> None:
        """It ended, or never was: then it is no more known, nor are the oldest of too many."""
        if execution.ending is None:
            self._by_id.pop(execution.id, None)
        ended = [item for item in self._by_id.values() if item.ending is not None]
        for item in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._by_id[item.id]
