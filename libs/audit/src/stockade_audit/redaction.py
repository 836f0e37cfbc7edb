"""Secrets cut out of entries before they are written: what is in a leaf can never be taken out again."""

import re
from typing import Any, Final

REDACTED: Final = "[redacted]"

# Cheap signs that a leaf may hold a secret. Most leaves show none and are never looked at by the patterns below.
_SIGNS: Final = (
    b"?", b"bearer", b"basic ", b"passw", b"secret", b"token", b"key", b"auth", b"cookie", b"credential", b"eyj",
    b"sk-", b"gh", b"akia", b"asia", b"xox", b"private", b"://", b"aiza", b"glpat", b"npm_", b"pypi-",
)  # fmt: skip

_SECRET_KEY = re.compile(
    r"(?i)(?:^|[^a-z])(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|authorization|proxy-authorization|cookie|set-cookie|credentials?|session[-_]?id|x-api-key)(?:$|[^a-z])"
)

_PATTERNS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\b(bearer|basic|digest|negotiate)\s+[A-Za-z0-9._~+/=-]{6,}", rf"\1 {REDACTED}"),
        (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", REDACTED),
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?", REDACTED),  # JWT, RFC 7519
        (r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}", REDACTED),
        (r"\b(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{16,}", REDACTED),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", REDACTED),
        (r"\bxox[abeoprs]-[A-Za-z0-9-]{8,}", REDACTED),
        (r"\bAIza[A-Za-z0-9_-]{30,}", REDACTED),
        (r"\b(?:glpat|npm|pypi)[-_][A-Za-z0-9_-]{16,}", REDACTED),
        (r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@", rf"\1{REDACTED}@"),  # user:password in a URL
        (
            r"(?i)\b((?:passw(?:or)?d|secret|token|api[-_]?key|access[-_]?key|client[-_]?secret)\s*[=:]\s*)[^\s&,;\"']+",
            rf"\1{REDACTED}",
        ),
    )
)

_QUERY = re.compile(r"\?[^\s#]+")


def may_hold_secret(leaf: bytes) -> bool:
    """Whether a leaf shows any sign at all; false means that `redact_fields` would change nothing."""
    lowered = leaf.lower()
    return any(sign in lowered for sign in _SIGNS)


def redact_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The same members with secrets cut, and `redacted` counting the cuts if there were any."""
    count = 0
    redacted: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "metadata":
            redacted[name], cuts = _redact_metadata(value)
        elif isinstance(value, str):
            redacted[name], cuts = redact_text(value)
        else:
            redacted[name], cuts = value, 0
        count += cuts
    if count:
        redacted["redacted"] = count
    return redacted


def _redact_metadata(metadata: dict[str, Any]) -> tuple[dict[str, Any], int]:
    count = 0
    redacted: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, str) and value and _SECRET_KEY.search(key):
            redacted[key], cuts = REDACTED, 1
        elif isinstance(value, str):
            redacted[key], cuts = redact_text(value)
        else:
            redacted[key], cuts = value, 0
        count += cuts
    return redacted, count


def redact_text(text: str) -> tuple[str, int]:
    """The text without secrets and URL queries, and how many were cut."""
    text, count = _QUERY.subn(f"?{REDACTED}", text)
    for pattern, replacement in _PATTERNS:
        text, cuts = pattern.subn(replacement, text)
        count += cuts
    return text, count
