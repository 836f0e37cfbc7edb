"""Secrets cut out of entries before they are written: what is in a leaf can never be taken out again."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

MAX_TEXT: Final = 1024  # characters of one field, of one metadata value
MAX_KEY: Final = 64  # characters of one metadata key
ID_LENGTH: Final = 36  # of a UUID; what stands in an id's place and is longer is looked at
REDACTED: Final = "[redacted]"

# Cheap signs that a text may hold a secret: one without any is not put before the patterns below.
_SIGNS: Final = (
    "?", "bearer", "basic ", "digest ", "negotiate ", "passw", "secret", "token", "key", "eyj", "sk-", "pk-", "rk-",
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "akia", "asia", "xox", "aiza", "glpat", "npm", "pypi", "://",
)  # fmt: skip

# Fields that hold an id or a word of ours, never a caller's text of any length.
_EXEMPT: Final = frozenset({"action", "service", "principal_kind", "time", "id", "intent_id", "trace_id", "span_id"})

_KNOWN: Final = 4096
_clean: set[str] = set()  # texts found to hold no secret: most come again and again, and are not searched again
_clean_keys: set[str] = set()  # the same of metadata keys

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


def are_clean(texts: Iterable[str]) -> bool:
    """Whether these hold no secret, nothing that does not print, and none is too long."""
    return _clean.issuperset(texts) or all(map(is_clean, texts))


def is_clean(value: Any) -> bool:
    """Whether this is a number, or such a text."""
    if value.__class__ is not str:
        return value.__class__ in (int, bool, float)
    return value in _clean or (len(value) <= MAX_TEXT and value.isprintable() and not redact_text(value)[1])


def is_clean_metadata(metadata: Mapping[str, Any]) -> bool:
    """The same of metadata, telling keys included."""
    return all(map(is_clean, metadata.values())) and (
        _clean_keys.issuperset(metadata) or all(map(_is_clean_key, metadata))
    )


def _is_clean_key(key: str) -> bool:
    if len(key) > MAX_KEY or _SECRET_KEY.search(key):
        return False
    if len(_clean_keys) >= _KNOWN:
        _clean_keys.clear()
    _clean_keys.add(key)
    return True


def redact_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The same members with secrets cut, and `redacted` counting the cuts; the very same dict if there were none."""
    count = 0
    redacted: dict[str, Any] = {}
    for name, value in fields.items():
        if value.__class__ is not str:
            if name == "metadata" and (found := _redact_metadata(value))[1]:
                redacted[name], count = found[0], count + found[1]
        elif value not in _clean and (name not in _EXEMPT or len(value) > ID_LENGTH):
            text, cuts = redact_text(value)
            if cuts:
                redacted[name], count = text, count + cuts
    return {**fields, **redacted, "redacted": count} if count else fields


def _redact_metadata(metadata: dict[str, Any]) -> tuple[dict[str, Any], int]:
    count = 0
    redacted: dict[str, Any] = {}
    for key, value in metadata.items():
        if not isinstance(value, str):
            redacted[key], cuts = value, 0
        elif value and _SECRET_KEY.search(key):
            redacted[key], cuts = REDACTED, 1
        else:
            redacted[key], cuts = redact_text(value)
        count += cuts
    return redacted, count


def redact_text(text: str) -> tuple[str, int]:
    """The text without secrets and URL queries, and how many were cut."""
    if text in _clean:
        return text, 0
    count = 0
    lowered = text.lower()
    if any(sign in lowered for sign in _SIGNS):
        text, count = _cut(text)
    if not count:
        if len(_clean) >= _KNOWN:
            _clean.clear()
        _clean.add(text)
    return text, count


def _cut(text: str) -> tuple[str, int]:
    text, count = _QUERY.subn(f"?{REDACTED}", text)
    for pattern, replacement in _PATTERNS:
        text, cuts = pattern.subn(replacement, text)
        count += cuts
    return text, count
