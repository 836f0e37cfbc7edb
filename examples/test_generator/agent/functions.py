"""The functions of a module that can be imported."""

import importlib
import inspect

from stockade_agent.source import Function, functions_of


def read_functions(module: str) -> list[Function]:
    """Every function of `module`, in the order of its source.

    Raises:
        SystemExit: with one line, for a module that cannot be imported or has no source.
    """
    try:
        return functions_of(inspect.getsource(importlib.import_module(module)))
    except (ImportError, OSError, TypeError) as error:
        raise SystemExit(f"{module} has no Python source to read ({error}): name another module") from error
