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
