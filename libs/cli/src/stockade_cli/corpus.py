"""What a folder holds that can be embedded: Python files by their functions, other texts whole."""

from collections.abc import Iterator
from pathlib import Path

from stockade_agent.source import functions_of

SUFFIXES = (".md", ".rst", ".txt", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h")
MOST_BYTES = 64 * 1024


def texts_below(folder: Path) -> Iterator[str]:
    """Each text once, in the order of the paths. What is no text, or too large to be one, is left out."""
    seen: set[str] = set()
    for path in sorted(folder.rglob("*")):
        for text in _texts(path):
            if text.strip() and text not in seen:
                seen.add(text)
                yield text


def _texts(path: Path) -> list[str]:
    if path.suffix not in (".py", *SUFFIXES) or not path.is_file():
        return []
    try:
        text = path.read_text()
        if path.suffix == ".py":
            return [function.source for function in functions_of(text)]
    except (UnicodeDecodeError, SyntaxError, ValueError):
        return []
    return [text] if len(text) <= MOST_BYTES else []
