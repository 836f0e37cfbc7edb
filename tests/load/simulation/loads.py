"""What is asked of a fleet: of the simulated one, and, where it fits on this machine, of real hosts (`make bench
AREA=mesh`), so that the figures of both can stand side by side."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Load:
    """Fill the fleet, hold it at `full`, let nodes die, and ask for decisions. Times are seconds.

    Holding means: so many sandboxes a second end, chosen at random, and as many are asked for.
    """

    nodes: int
    sandboxes_per_node: int
    envoys: int
    """Callers' sidecars, each of which balances by what it has seen itself."""
    creates_per_s: float
    full: float = 0.95
    held_creates: int
    """How many are asked for while the fleet is held full."""
    start_s: float = 0.2
    """How long a node takes to start one, on average."""
    deaths: int = 1
    agents: int
    """Who ask for decisions, each from one node, half as often as their limit allows."""
    hot_agents: int
    """Who ask five times as often as they may, from three nodes."""
    lease_agents: int
    """Who take tokens in advance and decide for themselves."""

    def of(self, nodes: int) -> "Load":
        """The same on another number of nodes: as much is asked of each."""
        return replace(self, nodes=nodes, creates_per_s=self.creates_per_s * nodes / self.nodes)


SMALL = Load(
    nodes=3,
    sandboxes_per_node=20,
    envoys=1,
    creates_per_s=4.0,
    held_creates=200,
    agents=20,
    hot_agents=2,
    lease_agents=2,
)
"""What three hosts on one machine can do as well."""

FLEET = Load(
    nodes=1000,
    sandboxes_per_node=500,
    envoys=20,
    creates_per_s=10_000.0,
    held_creates=30_000,
    deaths=5,
    agents=1000,
    hot_agents=50,
    lease_agents=100,
)

LOADS = {"small": SMALL, "fleet": FLEET}
