"""docs/sandbox.md tells the settings as they are, and names modules that exist."""

import dataclasses
import re
from pathlib import Path

from stockade_sandbox.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/sandbox.md").read_text()


def test_every_setting_stands_there_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", PAGE.partition("## Settings")[2], re.MULTILINE))
    assert list(rows) == [field.name for field in dataclasses.fields(Settings)]
    for field in dataclasses.fields(Settings):
        if field.name != "profiles":
            assert rows[field.name] == f"`{_written(field.default)}`", field.name


def test_every_module_that_is_named_exists() -> None:
    package = ROOT / "services/sandbox/src/stockade_sandbox"
    for name in re.findall(r"`([\w/]+\.(?:py|yaml))`", PAGE.partition("## A sandbox's life")[0]):
        assert (package / name).exists(), name


def _written(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_row_of_the_matrix_is_held_by_tests_that_exist() -> None:
    rows = PAGE.partition("| promise |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) > 15
    tests = {path.name: path.read_text() for path in (ROOT / "tests").glob("*/sandbox/test_*.py")}
    for row in rows:
        for name in re.findall(r"`(test_[\w.]+)`", row):
            assert name in tests if name.endswith(".py") else f"def {name}(" in tests["test_tiers.py"], row
