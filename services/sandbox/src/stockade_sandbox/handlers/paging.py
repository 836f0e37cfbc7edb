"""Pages of a list that may change between two of them: a token says after which item the next page begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from stockade_sandbox.domain.errors import PageTokenInvalid

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 100


def page(items: Sequence[T], key: Callable[[T], str], scope: str, size: int, token: str) -> tuple[list[T], str]:
    """The page after the item that `token` names, and the next token; `items` are ordered by `key`.

    `scope` is what the list was asked for: a token of another scope is refused. Raises PageTokenInvalid.
    """
    after = position(token, scope)
    return cut([item for item in items if key(item) > after], key, scope, size)


def cut(rest: Sequence[T], key: Callable[[T], str], scope: str, size: int) -> tuple[list[T], str]:
    """The first page of what is left, and the next token where there is more."""
    chosen = list(rest[: size or DEFAULT_PAGE_SIZE])
    return chosen, _token(key(chosen[-1]), scope) if len(rest) > len(chosen) else ""


def _token(after: str, scope: str) -> str:
    return base64.urlsafe_b64encode(f"{scope}|{after}".encode()).decode()


def position(token: str, scope: str) -> str:
    """The key that `token` names; empty without one. Raises PageTokenInvalid."""
    if not token:
        return ""
    try:
        found, _, after = base64.urlsafe_b64decode(token.encode()).decode().rpartition("|")
    except (binascii.Error, ValueError):
        raise PageTokenInvalid from None
    if found != scope:
        raise PageTokenInvalid
    return after
