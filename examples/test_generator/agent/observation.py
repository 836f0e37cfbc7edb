"""What a function does when it is called: generated arguments, and what came of them, twice the same."""

import contextlib
import importlib
import inspect
import io
import itertools
import signal
from ast import literal_eval
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

TEXTS = ("The quick brown fox jumps over the lazy dog.", "  indented\n    more\n", "a-b c", "")
NUMBERS = (12, 0.25, 3, 1, 0, -1)
SEQUENCES: tuple[list[int], ...] = ([3, 1, 2], [1, 2, 2, 5], [])
POOLS: tuple[tuple[Any, ...], ...] = (TEXTS, NUMBERS, SEQUENCES)
HINTS: dict[str, tuple[Any, ...]] = {
    "text": TEXTS, "string": TEXTS, "prefix": ("> ", ""), "width": (30, 12, 3, 0), "n": (2, 1, 0),
    "data": SEQUENCES, "iterable": SEQUENCES, "a": SEQUENCES, "heap": ([1, 3, 2], [1]),
}  # fmt: skip
MOST_CALLS, MOST_KEPT, SECONDS = 60, 4, 2


@dataclass(frozen=True)
class Observation:
    """One call and what it came to: a literal `result`, or the name of the built-in exception it `raised`."""

    function: str
    arguments: tuple[Any, ...]
    result: Any = None
    raised: str = ""


def observe(module: str, function: str) -> list[Observation]:
    """Calls of `module.function` whose outcome is the same twice and can be written down; a few, all different."""
    seen: dict[str, Observation] = {}
    for arguments in _arguments(_find(module, function)):
        first, second = (_call(module, function, arguments) for _ in range(2))
        if first is not None and first == second:
            seen.setdefault(repr((first.result, first.raised)), first)
        if len(seen) == MOST_KEPT:
            break
    return list(seen.values())


def _find(module: str, function: str) -> Callable[..., Any] | None:
    """The function, bound to a fresh object where it is a method; None when no such object can be made."""
    *owner, name = function.split(".")
    found: Any = importlib.import_module(module)
    with contextlib.suppress(Exception):
        for part in owner:
            found = getattr(found, part)()
        return getattr(found, name, None)
    return None


def _arguments(function: Callable[..., Any] | None) -> Iterator[tuple[Any, ...]]:
    """Generated values: by a parameter's name where it tells, else all from one pool at a time."""
    names = _parameters(function)
    known = [HINTS.get(name) for name in names]
    pools = POOLS if None in known else POOLS[:1]
    return itertools.chain.from_iterable(_mixed([values or pool for values in known]) for pool in pools)


def _parameters(function: Callable[..., Any] | None) -> list[str]:
    """The leading parameters that have to be given or whose name tells what to give."""
    if function is None:
        return []
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    leading = itertools.takewhile(lambda p: p.default is p.empty or p.name in HINTS, positional)
    return [p.name for p in leading]


def _mixed(choices: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """A bounded part of the product of `choices`, every parameter varied early."""
    places = sorted(itertools.product(*(range(len(values)) for values in choices)), key=sum)
    for place in places[:MOST_CALLS]:
        yield tuple(values[i] for values, i in zip(choices, place, strict=True))


def _call(module: str, function: str, arguments: tuple[Any, ...]) -> Observation | None:
    """One call, bounded in time and kept off our own output; None for an outcome that cannot be written down."""
    called, copies = _find(module, function), literal_eval(repr(arguments))
    if called is None:
        return None
    try:
        with _alarm(), contextlib.redirect_stdout(io.StringIO()):
            result = called(*copies)
    except (ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        return Observation(function, arguments, raised=type(error).__name__) if _builtin(error) else None
    except Exception:  # wrong types of ours tell nothing about the function
        return None
    return Observation(function, arguments, result) if _literal(result) else None


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError("the call takes too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _builtin(error: Exception) -> bool:
    return type(error).__module__ == "builtins"


def _literal(result: object) -> bool:
    """Whether a test can spell `result`. None tells nothing that is worth a test."""
    try:
        return result is not None and bool(literal_eval(repr(result)) == result)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
