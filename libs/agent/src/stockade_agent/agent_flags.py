"""The walls that flags raise around one agent, evaluated when the flags change. Needs the extra `flags`.

    with AgentFlags("writer-1", "writer", FileProvider("/etc/stockade/flags.json")) as flags:
        agent = BaseAgent(stockade, "writer-1", agent_type="writer", flags=flags)

Any OpenFeature provider serves; for a fleet, `openfeature.contrib.provider.flagd.FlagdProvider()` of the extra `flagd`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent

from stockade_agent.flags import ALL_UP, FLAGS, Walls

if TYPE_CHECKING:
    from types import TracebackType

    from openfeature.flag_evaluation import FlagEvaluationDetails
    from openfeature.provider import FeatureProvider

log = logging.getLogger(__name__)

_EVENTS = (ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)


class AgentFlags:
    """One agent's walls by its flags: `walls`. A context manager that owns its provider.

    All are up until a provider has answered. A flag that cannot be evaluated keeps its last known state.
    """

    def __init__(self, agent: str, agent_type: str, provider: FeatureProvider) -> None:
        self.walls: Walls = ALL_UP
        self.on_change: Callable[[Walls], None] | None = None
        """Called with the new walls, on the provider's thread."""
        self._domain = f"stockade/{agent}"
        self._provider = provider
        self._context = EvaluationContext(agent, {"agent_type": agent_type})
        self._client = api.get_client(self._domain)

    def _evaluate(self, _event: EventDetails | None = None) -> None:
        known = asdict(self.walls)
        found = {wall: self._value(flag, known[wall]) for flag, wall in FLAGS.items()}
        if found != known:
            self.walls = Walls(**found)
            log.info("flags of %s changed: %s", self._context.targeting_key, found)
            if self.on_change is not None:
                self.on_change(self.walls)

    def _value(self, flag: str, known: bool) -> bool:
        details = self._client.get_boolean_details(flag, known, self._context)
        if details.error_code:
            log.warning("flag %s keeps its state, %s: %s", flag, known, details.error_message)
        _trace(details)
        return details.value

    def __enter__(self) -> AgentFlags:
        api.set_provider_and_wait(self._provider, self._domain)
        self._evaluate()
        for event in _EVENTS:
            self._client.add_handler(event, self._evaluate)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for event in _EVENTS:
            self._client.remove_handler(event, self._evaluate)
        self._provider.shutdown()


def _trace(details: FlagEvaluationDetails[bool]) -> None:
    """A span by OpenTelemetry's conventions for feature flags, where tracing is in use."""
    if "opentelemetry.trace" not in sys.modules:
        return
    from opentelemetry import trace

    attributes: dict[str, str | bool] = {
        "feature_flag.key": details.flag_key,
        "feature_flag.result.value": details.value,
        "feature_flag.result.reason": str(details.reason or "").lower(),
    }
    with trace.get_tracer("stockade.agent").start_as_current_span("feature_flag.evaluation", attributes=attributes):
        pass
