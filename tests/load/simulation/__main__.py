"""`make simulate`: print what a fleet would do under a load, and write it as JSON."""

import argparse
import gc
import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean

from load.harness import Figure
from load.simulation.limiting import Limited, limit
from load.simulation.loads import LOADS, Load
from load.simulation.placing import HELD, PAUSE_S, Placed, place


def simulate(load: Load, seeds: Iterable[int]) -> list[Figure]:
    """Every figure of a load; placements of all seeds together, limits of the first."""
    numbers = list(seeds)
    placed = [place(load, seed) for seed in numbers]
    return [*_tries(placed), *_deaths(load, placed), *_registry(load, placed), *_limits(limit(load, numbers[0]))]


def _tries(placed: list[Placed]) -> Iterator[Figure]:
    tries = defaultdict[str, list[int]](list)
    for found in placed:
        for level, counts in found.tries.items():
            tries[level] += counts
    for level, counts in tries.items():
        ordered = sorted(counts)
        name = f"create_tries_{level}".replace(" ", "_").replace("%", "")
        target = "≤ 1.2" if level == HELD else ""
        yield Figure(f"{name}_mean", mean(ordered), "tries", target)
        yield Figure(f"{name}_p50", ordered[len(ordered) // 2], "tries", "")
        yield Figure(f"{name}_p99", ordered[len(ordered) * 99 // 100], "tries", "")
    refused = sum(found.refused for found in placed)
    yield Figure("creates_refused", refused, f"of {sum(map(len, tries.values()))}", "")
    yield Figure("sandboxes_held", mean(found.living for found in placed), "sandboxes", "")


def _deaths(load: Load, placed: list[Placed]) -> Iterator[Figure]:
    after_s = [seconds for found in placed for seconds in found.lost_after_s.values()]
    lost, were = sum(found.lost for found in placed), sum(found.living_on_dead for found in placed)
    yield Figure("nodes_found_dead", len(after_s), f"of {load.deaths * len(placed)}", "all")
    yield Figure("lost_after_worst_s", max(after_s, default=0.0), "s", "≤ 10")
    yield Figure("sandboxes_lost", lost, "sandboxes", "those of the dead nodes", {"lived there": were})
    removed = sum(found.removed_on_return for found in placed)
    yield Figure("removed_when_the_nodes_are_back", removed, "sandboxes", "all of these", {"were lost": lost})
    wrongly = sum(found.lost_by_pause for found in placed)
    yield Figure("lost_by_a_registry_away", wrongly, f"sandboxes in {PAUSE_S:.0f} s", "0")


def _registry(load: Load, placed: list[Placed]) -> Iterator[Figure]:
    yield Figure("registry_calls_per_create", mean(p.calls_per_create for p in placed), "calls", "")
    at_rest = mean(found.calls_at_rest_per_s for found in placed)
    yield Figure("registry_calls_at_rest_per_s", at_rest, "1/s", "1 a node", {"nodes": load.nodes})


def _limits(found: dict[str, Limited]) -> Iterator[Figure]:
    leases = found.pop("leases")
    for name, run in found.items():
        target = "≤ 0.1" if name == "calm" else ""
        yield Figure(f"limit_error_{name}_pct", run.error_pct, "%", target, {"ideal, requests": run.ideal})
        yield Figure(f"decisions_unavailable_{name}", run.unavailable, f"of {run.decisions}", "")
    calm = found["calm"]
    yield Figure("redis_calls_per_decision", calm.calls / calm.decisions, "calls", "1")
    yield Figure("redis_calls_per_leased_decision", leases.lease_calls / leases.decisions, "calls", "")
    yield Figure("tokens_lost_to_dead_holders", leases.lease_lost, f"of {leases.leased}", "")


def main() -> None:
    """Simulate what the options say."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--load", choices=LOADS, default="fleet", help="what is asked (default: fleet)")
    parser.add_argument("--nodes", type=int, metavar="N", help="another number of nodes")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="one seed, one result (default: 1)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="so many runs, from that seed on")
    parser.add_argument("--output", type=Path, default=Path("build/simulation.json"), metavar="FILE")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the services' own: of deaths and outages that are meant
    gc.disable()  # a million small values that stay, and no cycles
    load = LOADS[arguments.load]
    load = load.of(arguments.nodes) if arguments.nodes else load
    figures = simulate(load, range(arguments.seed, arguments.seed + arguments.seeds))
    for figure in figures:
        beside = "".join(f"  ({name}: {value:g})" for name, value in (figure.comparison or {}).items())
        print(f"{figure.name:42} {figure.value:>12g} {figure.unit}{beside}")
    print(f"{load}\nseed {arguments.seed}, {arguments.seeds} run(s), {time.process_time():.1f} s of CPU")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps([figure.document() for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
