"""Page tokens: the list they belong to and the last key shown, so that pages stay stable while the list changes."""

from __future__ import annotations

import base64
import json

from stockade_network_policy.handlers.failures import page_token_invalid


def page_token(of: str, last: str) -> str:
    """The token of the page after `last` in the list `of`."""
    return base64.urlsafe_b64encode(json.dumps([of, last]).encode()).decode()


def last_shown(token: str, of: str) -> str:
    """The last key of the page before; empty on the first page. Raises a Failure for a token of another list."""
    if not token:
        return ""
    try:
        owner, last = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise page_token_invalid() from None
    if owner != of or not isinstance(last, str):
        raise page_token_invalid()
    return last
