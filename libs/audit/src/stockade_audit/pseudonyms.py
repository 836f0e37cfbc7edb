"""Pseudonyms: what copies of the record (spans, metrics, logs) carry in place of an agent's id or a person's name.

HMAC-SHA-256 of the name under the key store's own key, 80 bits of it: the same everywhere on a machine, and nothing to
whoever lacks that key.
"""

import base64
import hmac
from collections.abc import Callable
from functools import lru_cache
from typing import Final

MARK: Final = "~"  # no id and no name begins with it

Pseudonym = Callable[[str], str]


def pseudonyms(key: bytes) -> Pseudonym:
    """From a name to its pseudonym."""

    @lru_cache(maxsize=4096)
    def pseudonym(name: str) -> str:
        digest = hmac.digest(key, name.encode("utf-8", "replace"), "sha256")
        return MARK + base64.b32encode(digest[:10]).decode().lower()

    return pseudonym
