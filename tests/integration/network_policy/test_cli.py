"""`stockade policy` and `stockade limits` against a real process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.policy_service import PolicyService

FILE = """\
policies:
  cli-tester:
    allowed_domains:
      - "*.npmjs.org"
      - api.example.com
    requests_per_minute: 60
    requests_per_hour: 100
    burst_size: 5
"""


def stockade(service: PolicyService, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STOCKADE_STACK_RUN_DIR": str(service.run_dir), "STOCKADE_STACK_OPERATOR": "ana"}
    command = [sys.executable, "-m", "stockade_cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def applied(service: PolicyService, tmp_path: Path) -> Path:
    file = tmp_path / "policies.yaml"
    file.write_text(FILE)
    assert stockade(service, "policy", "apply", str(file)).returncode == 0
    return file


def test_list(service: PolicyService) -> None:
    shown = stockade(service, "policy", "list").stdout.splitlines()
    assert shown[0].split()[:2] == ["TYPE", "DOMAINS"]
    assert any(line.startswith("test-generator ") for line in shown)


def test_what_show_prints_can_be_applied(service: PolicyService, applied: Path) -> None:
    shown = stockade(service, "policy", "show", "qe-cli-tester").stdout
    assert shown.split("\n", 1)[1] == FILE
    applied.write_text(shown)
    assert stockade(service, "policy", "apply", str(applied)).stdout == "unchanged  cli-tester\n"


def test_lint_names_file_line_and_mend(service: PolicyService, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(FILE.replace("api.example.com", "'*.co.uk'"))
    linted = stockade(service, "policy", "lint", str(file))
    assert linted.returncode == 1
    assert linted.stdout.startswith(f"{file}:5: policies.cli-tester.allowed_domains[1]: ")
    assert "*.example.co.uk" in linted.stdout
    refused = stockade(service, "policy", "apply", str(file))
    assert refused.returncode != 0
    assert len(refused.stderr.splitlines()) == 1
    assert f"{file}:5: " in refused.stderr


def test_test(service: PolicyService, applied: Path) -> None:
    allowed = stockade(service, "policy", "test", "cli-tester", "packages.npmjs.org")
    assert (allowed.returncode, "allowed_domains:*.npmjs.org" in allowed.stdout) == (0, True)
    refused = stockade(service, "policy", "test", "cli-tester", "npmjs.org")
    assert (refused.returncode, "*.npmjs.org" in refused.stdout) == (5, True)


def test_allow_revoke_and_diff(service: PolicyService, applied: Path) -> None:
    assert stockade(service, "policy", "allow", "cli-tester", "B.com").returncode == 0
    assert stockade(service, "policy", "diff", "cli-tester").stdout == "+ b.com\n"
    assert stockade(service, "policy", "revoke", "cli-tester", "b.com").returncode == 0
    assert stockade(service, "policy", "diff", "cli-tester").stdout == "- b.com\n"


def test_what_applying_a_file_would_do(service: PolicyService, applied: Path) -> None:
    applied.write_text(FILE.replace("api.example.com", "b.com").replace("burst_size: 5", "burst_size: 3"))
    shown = stockade(service, "policy", "diff", "cli-tester", "--file", str(applied)).stdout
    assert shown.splitlines() == ["+ b.com", "- api.example.com", "~ limits.burst_size: 5 -> 3 (tighter)"]


def test_propose(service: PolicyService, applied: Path) -> None:
    assert "api.example.com" in stockade(service, "policy", "propose", "cli-tester").stdout


def test_limits(service: PolicyService) -> None:
    shown = stockade(service, "limits", "show", "nobody-yet")
    assert "3 of 3 left" in shown.stdout
    assert json.loads(stockade(service, "limits", "show", "nobody-yet", "--json").stdout)["burst_left"] == 3


def test_a_policy_that_is_not_there(service: PolicyService) -> None:
    refused = stockade(service, "policy", "allow", "no-such-type", "a.com")
    assert refused.returncode == 4
    assert "POLICY_NOT_FOUND" in refused.stderr
