"""The table `layers`: epochs and sizes. Triggers of the schema keep the sizes."""

import sqlite3
import time

from stockade_embedding_cache.domain.entry import Size


def epochs(db: sqlite3.Connection) -> dict[str, int]:
    """Every layer's epoch."""
    return dict(db.execute("SELECT name, epoch FROM layers"))


def epoch(db: sqlite3.Connection, name: str) -> int:
    """One layer's epoch; 0 for one that never was."""
    row = db.execute("SELECT epoch FROM layers WHERE name = ?", (name,)).fetchone()
    return row[0] if row else 0


def find(db: sqlite3.Connection, name: str) -> int:
    """The layer's id. A new one's epoch starts from the clock: a file made anew repeats none."""
    db.execute("INSERT OR IGNORE INTO layers (name, epoch) VALUES (?, ?)", (name, time.time_ns()))
    ident: int = db.execute("SELECT id FROM layers WHERE name = ?", (name,)).fetchone()[0]
    return ident


def advance(db: sqlite3.Connection, name: str) -> int:
    """Begin a new epoch of the layer; returns its id."""
    ident = find(db, name)
    db.execute("UPDATE layers SET epoch = epoch + 1 WHERE id = ?", (ident,))
    return ident


def size(db: sqlite3.Connection, ident: int) -> Size:
    """One layer's size."""
    return Size(*db.execute("SELECT entries, bytes FROM layers WHERE id = ?", (ident,)).fetchone())


def sizes(db: sqlite3.Connection) -> dict[str, Size]:
    """The sizes of all layers that hold anything."""
    rows = db.execute("SELECT name, entries, bytes FROM layers WHERE entries > 0")
    return {name: Size(entries, held) for name, entries, held in rows}


def largest(db: sqlite3.Connection) -> int:
    """The id of the layer that holds most bytes."""
    ident: int = db.execute("SELECT id FROM layers ORDER BY bytes DESC LIMIT 1").fetchone()[0]
    return ident
