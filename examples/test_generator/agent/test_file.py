"""The pytest file: written from observations, run, and itself put to the test."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from observation import Observation


@dataclass(frozen=True)
class Run:
    """What pytest said."""

    passed: int
    failed: int


def write_tests(module: str, observations: Iterable[Observation], path: Path) -> int:
    """Write one test for each observation; returns how many."""
    tests = [_test(module, number, seen) for number, seen in enumerate(observations)]
    header = (
        f'"""What {module} does today, written down by the test generator."""\n\nimport pytest\n\nimport {module}\n'
    )
    path.write_text("\n\n".join([header, *tests]))
    return len(tests)


def run_tests(path: Path) -> Run:
    """Run pytest on `path`."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", path.name]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    passed, failed = (re.search(rf"(\d+) {word}", done.stdout) for word in ("passed", "failed"))
    return Run(int(passed[1]) if passed else 0, int(failed[1]) if failed else 0)


def unnoticed(module: str, functions: Iterable[str], path: Path) -> list[str]:
    """Functions that may be broken without any of their tests failing: what the tests do not really test."""
    tests = _load(path)
    return [name for name in functions if not _fails(tests, module, name)]


def _test(module: str, number: int, seen: Observation) -> str:
    *owner, name = seen.function.split(".")
    subject = ".".join([module, *(f"{part}()" for part in owner), name])
    call = f"{subject}({', '.join(map(repr, seen.arguments))})"
    label = "_".join([*owner, name]).lower()
    if seen.raised:
        return f"def test_{label}_{number}():\n    with pytest.raises({seen.raised}):\n        {call}\n"
    return f"def test_{label}_{number}():\n    assert {call} == {seen.result!r}\n"


def _load(path: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(), path, "exec"), namespace)  # our own file, written a moment ago
    return namespace


def _fails(tests: dict[str, Any], module: str, function: str) -> bool:
    label = function.replace(".", "_").lower()
    own = [test for name, test in tests.items() if re.fullmatch(rf"test_{label}_\d+", name)]
    with _broken(importlib.import_module(module), function):
        return any(_raises(test) for test in own)


@contextmanager
def _broken(module: ModuleType, function: str) -> Iterator[None]:
    """For a while, `function` takes anything and gives an object that equals nothing else."""
    *owner, name = function.split(".")
    place: Any = module
    for part in owner:
        place = getattr(place, part)
    original = place.__dict__[name]
    setattr(place, name, lambda *_, **__: object())
    try:
        yield
    finally:
        setattr(place, name, original)


def _raises(test: Any) -> bool:
    try:
        test()
    except BaseException:  # pytest.raises fails by an exception that is no Exception
        return True
    return False
