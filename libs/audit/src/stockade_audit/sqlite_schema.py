"""How every SQLite file that Stockade keeps is opened, and the version of its tables, in `PRAGMA user_version`.

It stands with the record's library because that is what all others stand on.
"""

import sqlite3
from pathlib import Path
from typing import Literal


class SchemaTooNew(sqlite3.DatabaseError):
    """A newer program has made the tables; the file was left as it is. The message names file and mend."""


def open_file(
    path: Path,
    tables: str,
    version: int,
    pragmas: str,
    *,
    patience_s: float = 10.0,
    isolation_level: Literal["DEFERRED"] | None = "DEFERRED",
) -> sqlite3.Connection:
    """The file at `path`, begun where there is none, for callers that hold a lock around each use.

    `patience_s` is how long another process's lock is waited for. Raises SchemaTooNew and other sqlite3.Error, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, patience_s, isolation_level=isolation_level, check_same_thread=False)
    prepare(connection, tables, version)
    connection.executescript(pragmas)
    return connection


def prepare(connection: sqlite3.Connection, tables: str, version: int) -> None:
    """Let the tables be those of `version`. Several processes may do so at once.

    Call it before any pragma that writes. `tables` are statements that leave alone what is there already. Raises
    SchemaTooNew, with nothing touched.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > version:
        name = Path(connection.execute("PRAGMA database_list").fetchone()[2]).name
        raise SchemaTooNew(f"{name} has schema version {found} and this program knows {version}: run the newer program")
    if found < version:
        connection.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {version}; COMMIT;")
