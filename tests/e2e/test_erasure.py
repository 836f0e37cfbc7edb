"""An agent of a whole stack is erased: no part of its record names it any more, and the record verifies."""

import json

import pytest

from support.stack import ALLOWED, REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

AGENT = "forget-me-e2e-41f7"
ASK = f"import urllib.request, sys; print(urllib.request.urlopen('http://{ALLOWED}/', timeout=10).status)"


def test_an_agent_is_erased_from_all_that_its_services_wrote(stack: Stack) -> None:
    done = stack.run("python3", "-c", ASK, agent=AGENT)
    assert done.stdout.split() == ["200"], done.stderr
    stack.run("python3", "-c", ASK.replace(ALLOWED, REFUSED), agent=AGENT)
    assert AGENT in stack.stockade("audit", "list", "--agent", AGENT, "--json").stdout
    erased = stack.stockade("audit", "erase", AGENT, "--reason", "asked for", "--yes", "--json")
    assert erased.returncode == 0, erased.stderr
    assert int(json.loads(erased.stdout)["keys"]) >= 2
    assert json.loads(stack.stockade("audit", "list", "--agent", AGENT, "--json").stdout) == []
    places = (stack.state_dir / "audit", stack.state_dir / "logs")
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert [str(path) for path in files if AGENT.encode() in path.read_bytes()] == []
    verified = stack.stockade("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
