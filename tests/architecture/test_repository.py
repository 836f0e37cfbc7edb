"""What no file of the repository may hold: the address of a package registry, or a path of somebody's machine."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Written apart, so that this file is none of those it looks for.
HOSTS = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "registry.npmjs" + ".org",
    "crates" + ".io",
    "proxy.golang" + ".org",
    "repo.maven" + ".apache.org",
    "repo1.maven" + ".org",
    "deb.debian" + ".org",
    "archive.ubuntu" + ".com",
]
PLACES = ["/work" + "/", "/root/" + r"\.", "/home/" + r"[a-z]+/"]


@pytest.mark.parametrize("pattern", [re.escape(host) for host in HOSTS] + PLACES)
def test_no_file_names(pattern: str) -> None:
    listed = subprocess.run(
        ["git", "grep", "-nIiE", pattern, "--", ".", ":!vendor"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert listed.stdout == ""


def test_requirements_are_hashed_and_name_no_address() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        pinned = re.findall(r"^[a-zA-Z0-9][\w.\[\]-]*==\S+", text, re.MULTILINE)
        assert pinned, file
        assert len(re.findall(r"^[a-zA-Z0-9][^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(pinned), file
        assert "://" not in text, file


def test_no_lock_file_that_names_a_registry_is_kept() -> None:
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert not {"uv.lock", "poetry.lock"} & {Path(path).name for path in kept}
