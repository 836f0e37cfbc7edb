"""Feature flags: who falls under one, what a file may say, and what happens while it cannot be read."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from stockade_agent import AgentFlags, FileProvider, Walls
from stockade_agent.flags import ALL_UP, FLAGS, FlagSet, FlagsInvalid

AGENTS = [f"agent-{number}" for number in range(10_000)]
STEPS = (0, 1, 5, 10, 25, 50, 75, 90, 99, 100)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_roll_out_keeps_its_share_and_nobody_flips_back(flag: str) -> None:
    under: set[str] = set()
    for percent in STEPS:
        flags = FlagSet({flag: {"writer": float(percent)}})
        now = {agent for agent in AGENTS if flags.explain(flag, agent, "writer").on}
        assert abs(len(now) / 100 - percent) <= 1.5
        assert under <= now
        under = now
    assert len(under) == len(AGENTS)


def test_each_flag_begins_with_other_agents() -> None:
    flags = FlagSet({flag: {"default": 10.0} for flag in FLAGS})
    first, second, *_ = ({a for a in AGENTS if flags.explain(flag, a, "any").on} for flag in FLAGS)
    assert len(first & second) < 200  # 1 % of all, had they nothing to do with each other


def test_the_type_goes_before_the_default() -> None:
    flags = FlagSet({"cache-off": {"writer": 0.0, "default": 100.0}})
    assert [flags.explain("cache-off", "a", kind).on for kind in ("writer", "reader")] == [False, True]
    assert not flags.explain("audit-required", "a", "writer").on


def test_a_flag_never_takes_a_wall_away() -> None:
    for mine, flagged in itertools.product(itertools.product((False, True), repeat=4), repeat=2):
        both = Walls(*mine) | Walls(*flagged)
        assert both == Walls(*(a or b for a, b in zip(mine, flagged, strict=True)))


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "give one object"),
        (b'{"flags": {}, "more": 1}', "give one object"),
        (b'{"flags": {"sandbox-requird": {}}}', "sandbox-requird: no such flag; there are sandbox-required"),
        (b'{"flags": {"cache-off": true}}', "cache-off: give percentages"),
        (b'{"flags": {"cache-off": {"a": 101}}}', "cache-off.a: 101 is no percentage"),
        (b'{"flags": {"cache-off": {"a": NaN}}}', "cache-off.a: nan is no percentage"),
        (b'{"flags": {"cache-off": {"a": true}}}', "cache-off.a: True is no percentage"),
    ],
)
def test_a_wrong_file_is_refused_whole(text: bytes, mend: str) -> None:
    with pytest.raises(FlagsInvalid, match=mend):
        FlagSet.parse(text)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_a_store_all_walls_are_up_and_then_the_last_known_stay(tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    changes: list[Walls] = []
    with AgentFlags("writer-1", "writer", FileProvider(file, poll_seconds=0.01)) as flags:
        flags.on_change = changes.append
        assert flags.walls == ALL_UP
        replace(file, '{"flags": {"sandbox-required": {"writer": 100}}}')
        known = Walls(sandbox_required=True)
        eventually(lambda: flags.walls == known)
        for damage in ("{", '{"flags": {"sandbox-required": {"writer": "0"}}}', None):
            replace(file, damage)
            time.sleep(0.1)
            assert flags.walls == known
        replace(file, '{"flags": {"policy-enforced": {"default": 100}}}')
        eventually(lambda: flags.walls == Walls(policy_enforced=True))
    assert changes == [known, Walls(policy_enforced=True)]


def test_a_flag_is_evaluated_when_it_changes_and_not_when_it_is_asked_for(tmp_path: Path) -> None:
    class Counting(FileProvider):
        evaluations = 0

        def resolve_boolean_details(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
            self.evaluations += 1
            return super().resolve_boolean_details(*args, **options)  # type: ignore[arg-type]

    file = tmp_path / "flags.json"
    replace(file, '{"flags": {}}')
    provider = Counting(file, poll_seconds=0.01)
    with AgentFlags("writer-2", "writer", provider) as flags:
        time.sleep(0.1)
        before = provider.evaluations
        assert all(flags.walls == Walls() for _ in range(1000))
        assert provider.evaluations == before
        replace(file, '{"flags": {"cache-off": {"writer": 100}}}')
        eventually(lambda: flags.walls.cache_off)
        assert provider.evaluations == before + len(FLAGS)


def test_flagd_raises_the_same_walls(tmp_path: Path) -> None:
    """By its own format, here from a file; a flag it does not know keeps its wall up."""
    file = tmp_path / "flagd.json"
    variants = {"on": True, "off": False}
    states = {flag: "on" if flag == "cache-off" else "off" for flag in FLAGS if flag != "audit-required"}
    flags = {
        flag: {"state": "ENABLED", "variants": variants, "defaultVariant": state} for flag, state in states.items()
    }
    file.write_text(json.dumps({"flags": flags}))
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(file))
    with AgentFlags("writer-3", "writer", provider) as evaluated:
        assert evaluated.walls == Walls(cache_off=True, audit_required=True)


def replace(file: Path, text: str | None) -> None:
    """Put `text` there at once, as a careful writer does; None takes the file away."""
    if text is None:
        file.unlink()
        return
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)
