"""An OpenFeature provider that reads its flags from a file and follows it. Needs the extra `flags`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import FlagNotFoundError, ParseError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from stockade_agent.flags import FLAGS, FlagSet, FlagsInvalid

POLL_SECONDS = 1.0


class FileProvider(AbstractProvider):
    """Flags of a file (`stockade_agent.flags`). While it cannot be read, the last that could is served, as STALE."""

    def __init__(self, path: Path | str, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__()
        self._path, self._poll_seconds = Path(path), poll_seconds
        self._flags: FlagSet | None = None
        self._wrong = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Reads the file and begins to follow it. A file that is not there yet is waited for."""
        self._load()
        self._ended.clear()
        self._thread = threading.Thread(target=self._follow, name="stockade-flags", daemon=True)
        self._thread.start()

    def shutdown(self) -> None:
        """Follows the file no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def get_metadata(self) -> Metadata:
        return Metadata(name="stockade-file")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """The flag for the agent that is the context's targeting key, of the type in its `agent_type`."""
        if flag_key not in FLAGS:
            raise FlagNotFoundError(f"{flag_key}: no such flag; there are {', '.join(FLAGS)}")
        if self._flags is None:
            raise ParseError(self._wrong)
        context = evaluation_context or EvaluationContext()
        agent_type = str(context.attributes.get("agent_type", ""))
        told = self._flags.explain(flag_key, context.targeting_key or "", agent_type)
        reason = Reason.STALE if self._wrong else Reason.SPLIT if 0 < told.percent < 100 else Reason.STATIC
        return FlagResolutionDetails(told.on, reason=reason, variant="on" if told.on else "off")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        raise TypeMismatchError(_BOOLEAN)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        raise TypeMismatchError(_BOOLEAN)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        raise TypeMismatchError(_BOOLEAN)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        raise TypeMismatchError(_BOOLEAN)

    def _follow(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            before, was_wrong = self._flags, self._wrong
            self._load()
            if self._wrong and self._wrong != was_wrong:
                self.emit_provider_stale(ProviderEventDetails(message=self._wrong))
            elif not self._wrong and (was_wrong or self._flags != before):
                self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=list(FLAGS)))

    def _load(self) -> None:
        try:
            self._flags, self._wrong = FlagSet.read(self._path), ""
        except FlagsInvalid as error:
            self._wrong = str(error)


_BOOLEAN = "every flag of Stockade is a boolean"
