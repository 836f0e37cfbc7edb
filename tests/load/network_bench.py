"""Figures of network policy: decisions, the gate, and the wall in bad times."""

from load import network_decisions, network_gate, network_wall
from load.harness import Figure, run


async def measure() -> list[Figure]:
    """All of them, one after another, so that none is taken while another loads the machine."""
    return [*await network_decisions.measure(), *await network_gate.measure(), *await network_wall.measure()]


if __name__ == "__main__":
    run(measure)
