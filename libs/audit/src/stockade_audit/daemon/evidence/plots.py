"""Plots as inline SVG: no script, no font, nothing from elsewhere."""

from collections.abc import Sequence
from html import escape
from typing import Final

WIDTH: Final = 720
ROW: Final = 22
HEIGHT: Final = 180
LEFT: Final = 44
COLOURS: Final = ("#2b6cb0", "#c53030", "#b7791f", "#2f855a")


def bars(title: str, counts: Sequence[tuple[str, int]]) -> str:
    """Horizontal bars, one a name, the largest first."""
    if not counts:
        return _empty(title)
    most = max(count for _, count in counts)
    label, room = 260, WIDTH - 260 - 80
    rows = []
    for n, (name, count) in enumerate(counts):
        y = n * ROW
        width = max(1, round(room * count / most))
        rows.append(
            f'<text x="{label - 8}" y="{y + 15}" text-anchor="end">{escape(_short(name))}</text>'
            f'<rect x="{label}" y="{y + 3}" width="{width}" height="{ROW - 6}" fill="{COLOURS[1]}"/>'
            f'<text x="{label + width + 6}" y="{y + 15}">{count}</text>'
        )
    return _svg(title, len(counts) * ROW, "".join(rows))


def lines(title: str, start: str, end: str, series: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Counts over time, a line each."""
    drawn = [(name, values) for name, values in series if any(values)]
    if not drawn:
        return _empty(title)
    most = max(max(values) for _, values in drawn)
    parts = [
        f'<line x1="{LEFT}" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}" stroke="#999"/>',
        f'<text x="{LEFT - 6}" y="12" text-anchor="end">{most}</text>',
        f'<text x="{LEFT - 6}" y="{HEIGHT}" text-anchor="end">0</text>',
        f'<text x="{LEFT}" y="{HEIGHT + 18}">{escape(start)}</text>',
        f'<text x="{WIDTH}" y="{HEIGHT + 18}" text-anchor="end">{escape(end)}</text>',
    ]
    for n, (name, values) in enumerate(drawn):
        colour = COLOURS[n % len(COLOURS)]
        parts.append(f'<polyline points="{_points(values, most)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + 10 + n * 170}" y="{HEIGHT + 38}" fill="{colour}">{escape(name)}</text>')
    return _svg(title, HEIGHT + 46, "".join(parts))


def _points(values: Sequence[int], most: int) -> str:
    step = (WIDTH - LEFT) / max(1, len(values) - 1)
    return " ".join(f"{LEFT + n * step:.1f},{HEIGHT - (HEIGHT - 8) * v / most:.1f}" for n, v in enumerate(values))


def _svg(title: str, height: int, body: str) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">{body}</svg></figure>'
    )


def _empty(title: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption><p>None in this period.</p></figure>"


def _short(name: str) -> str:
    shown = "".join(c if c.isprintable() else "\ufffd" for c in name) or "(none)"
    return shown if len(shown) <= 36 else f"{shown[:35]}…"
