"""The examples of docs/sdk.md, each run as a program of its own against a real stack."""

import os
import re
import subprocess
import sys

import pytest

from support.stack import ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/sdk.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_example_runs(stack: Stack, example: str) -> None:
    environment = os.environ | stack.environment
    done = subprocess.run([sys.executable, "-c", example], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
