"""The simulated fleet: small enough for every run of the tests, and its parts where they can be wrong by themselves."""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from stockade_sandbox.handlers.room import CREATE as ROOM

from load.simulation.__main__ import simulate
from load.simulation.balancer import CHECK_S, CHOICES, EJECTION_S, TRIES, Balancer
from load.simulation.clock import Clock, finished
from load.simulation.limiting import limit
from load.simulation.loads import FLEET, SMALL
from load.simulation.placing import HELD, place

ROOT = Path(__file__).parents[3]


def test_three_nodes_hold_what_is_promised() -> None:
    found = {figure.name: figure.value for figure in simulate(SMALL, range(1, 4))}
    assert found["sandboxes_held"] == 57
    assert found["create_tries_to_50_mean"] == 1
    assert 1 <= found["create_tries_held_mean"] < 1.02
    assert found["create_tries_held_p99"] == 1
    assert found["nodes_found_dead"] == 3
    assert 5 < found["lost_after_worst_s"] <= 10
    assert found["sandboxes_lost"] == found["removed_when_the_nodes_are_back"] > 0
    assert found["lost_by_a_registry_away"] == 0
    assert found["registry_calls_at_rest_per_s"] == pytest.approx(3, abs=0.5)
    assert abs(found["limit_error_calm_pct"]) <= 0.1
    assert found["limit_error_outage_deny_pct"] < 0 < found["limit_error_outage_local_0.3_pct"]
    assert found["redis_calls_per_decision"] == pytest.approx(1, abs=0.02)


def test_one_seed_gives_one_result() -> None:
    assert place(SMALL, 7) == place(SMALL, 7)
    assert limit(SMALL, 7) == limit(SMALL, 7)
    assert place(SMALL, 7).lost_after_s != place(SMALL, 8).lost_after_s


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    output = tmp_path / "simulation.json"
    command = [sys.executable, "-m", "load.simulation", "--load", "small", "--nodes", "4", "--output", str(output)]
    told = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True).stdout
    assert "nodes=4" in told
    names = {figure["name"] for figure in json.loads(output.read_text())}
    assert {"create_tries_held_p99", "lost_after_worst_s", "limit_error_calm_pct"} <= names


class Health:
    """What three hosts say of themselves, and an Envoy that asks them."""

    def __init__(self) -> None:
        self.clock, self.room = Clock(), [True] * 3
        self.envoy = Balancer(3, self.clock, random.Random(1), self.room.__getitem__)

    def picked(self) -> set[int]:
        """Which hosts are asked for the next fifty, each at rest again."""
        found = set()
        for _ in range(50):
            host = self.envoy.pick([])
            self.envoy.answered(host, available=True)
            found.add(host)
        return found


def test_a_retry_goes_to_another_host_and_one_that_refused_is_passed_over_for_a_while() -> None:
    health = Health()
    envoy = health.envoy
    tried = [envoy.pick([])]
    envoy.answered(tried[0], available=False)
    for _ in range(50):
        host = envoy.pick(tried)
        assert host not in tried
        envoy.answered(host, available=True)
    health.clock.run_for(CHECK_S)
    assert health.picked() == {0, 1, 2}, "a check found room there"


def test_one_that_refused_and_does_not_say_that_it_has_room_is_asked_again_after_its_time() -> None:
    health = Health()
    health.room[0] = False
    health.clock.run_for(CHECK_S)
    health.envoy.answered(0, available=False)
    health.clock.run_for(EJECTION_S + 1.0)
    assert health.picked() == {1, 2}
    health.room[0] = True
    health.clock.run_for(CHECK_S)
    assert health.picked() == {0, 1, 2}


def test_a_host_that_says_that_it_is_full_is_asked_no_more_until_it_has_room() -> None:
    health = Health()
    host = health.envoy.pick([])
    health.room[host] = False
    health.envoy.told_full(host)
    health.envoy.answered(host, available=True)
    assert host not in health.picked()
    health.room[host] = True
    health.clock.run_for(CHECK_S)
    assert host in health.picked()


def test_where_all_hosts_are_full_one_of_them_is_asked() -> None:
    health = Health()
    health.room[:] = [False] * 3
    health.clock.run_for(CHECK_S)
    assert health.envoy.pick([]) in range(3)


def test_the_busier_of_two_hosts_is_left_alone() -> None:
    envoy = Balancer(2, Clock(), random.Random(1), lambda _host: True)
    picked = [envoy.pick([]) for _ in range(40)]
    assert abs(picked.count(0) - picked.count(1)) <= 8


def test_the_model_tries_as_often_as_the_configuration_says() -> None:
    text = (ROOT / "deploy/envoy/sidecar.yaml").read_text()
    assert f"num_retries: {TRIES - 1}" in text
    assert f"base_ejection_time: {EJECTION_S:g}s" in text
    assert "lb_policy: LEAST_REQUEST" in text
    assert f"choice_count: {CHOICES}" in text
    assert (
        f"no_traffic_interval: {CHECK_S:g}s\n      grpc_health_check: {{authority: sandbox, service_name: {ROOM}}}"
        in text
    )


async def test_what_waits_cannot_be_simulated() -> None:
    with pytest.raises(RuntimeError, match="no simulated clock"):
        finished(asyncio.sleep(0))


@pytest.mark.long
def test_a_thousand_nodes_hold_what_is_promised() -> None:
    found = place(FLEET, 1)
    assert found.living == 475_000
    assert sum(found.tries[HELD]) / len(found.tries[HELD]) <= 1.2
    assert max(found.lost_after_s.values()) <= 10
    assert found.lost == found.living_on_dead == found.removed_on_return
    assert found.lost_by_pause == 0
