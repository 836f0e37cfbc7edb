"""The Helm chart as it renders."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/kubernetes/stockade"
HELM = ROOT / ".tools/bin/helm"
needs_helm = pytest.mark.skipif(not HELM.exists(), reason="scripts/tools builds helm where there is a Go")
Object = dict[str, Any]


def helm(*settings: str) -> "subprocess.CompletedProcess[str]":
    """Render the chart with `--set` of each."""
    words = [word for setting in settings for word in ("--set", setting)]
    command = [HELM, "template", "stockade", CHART, "--namespace", "stockade", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def rendered(*settings: str) -> list[Object]:
    """Every object that these settings make."""
    done = helm(*settings)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def named(found: list[Object], kind: str, name: str) -> Object:
    """The one of them with this kind and name."""
    [only] = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return only
