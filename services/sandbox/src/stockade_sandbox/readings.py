"""The service's metrics beside those that every service has."""

from collections import Counter

from stockade_rpckit.metrics import Reading

from stockade_sandbox.domain.sandbox import State
from stockade_sandbox.pool import Pool
from stockade_sandbox.sandboxes import Sandboxes


def readings(sandboxes: Sandboxes, pool: Pool) -> list[Reading]:
    """Sandboxes by state, and the warm pool."""

    def states() -> dict[str, float]:
        found = Counter(sandbox.state for sandbox in sandboxes.all())
        return {state.value.lower(): found[state] for state in State}

    return [
        Reading("stockade_sandboxes", "Sandboxes of this node, by state.", states, label="state"),
        Reading("stockade_pool_ready", "Warm sandboxes that can be claimed.", pool.ready),
        Reading("stockade_pool_wanted", "Warm sandboxes that there should be.", pool.wanted),
        Reading(
            "stockade_pool_claims_total",
            "Sandboxes asked for, by how they were had.",
            lambda: pool.claims,
            label="start",
        ),
    ]
