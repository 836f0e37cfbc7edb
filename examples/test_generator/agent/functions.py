"""The functions of a module, read from its source."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Function:
    """One function or method: `name` as in `TextWrapper.wrap`, `source` as it is written."""

    name: str
    source: str

    @property
    def public(self) -> bool:
        """Whether callers outside the module are meant to call it."""
        return not any(part.startswith("_") for part in self.name.split("."))


def read_functions(module: str) -> list[Function]:
    """Every function of `module`, methods with their class's name before theirs, in the order of the source.

    Raises:
        SystemExit: with one line, for a module that cannot be imported or has no source.
    """
    try:
        source = inspect.getsource(importlib.import_module(module))
    except (ImportError, OSError, TypeError) as error:
        raise SystemExit(f"{module} has no Python source to read ({error}): name another module") from error
    return list(_within(ast.parse(source), source, ""))


def _within(node: ast.AST, source: str, prefix: str) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield Function(prefix + child.name, ast.get_source_segment(source, child) or "")
        elif isinstance(child, ast.ClassDef):
            yield from _within(child, source, f"{prefix}{child.name}.")
