"""What there is to embed in source code: each function with its name, as it is written."""

import ast
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


def functions_of(source: str) -> list[Function]:
    """Every function of a module's source, a method with its class's name before its own, in order.

    Raises SyntaxError.
    """
    return list(_within(ast.parse(source), source, ""))


def _within(node: ast.AST, source: str, prefix: str) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(prefix + child.name, ast.get_source_segment(source, child) or "")
        elif isinstance(child, ast.ClassDef):
            yield from _within(child, source, f"{prefix}{child.name}.")
