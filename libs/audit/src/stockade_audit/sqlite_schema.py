"""The version of a SQLite file's tables, kept in `PRAGMA user_version`; for every file that Stockade keeps.

It stands with the record's library because that is what all others stand on.
"""

import sqlite3
from pathlib import Path


class SchemaTooNew(sqlite3.DatabaseError):
    """A newer program has made the tables; the file was left as it is. The message names file and mend."""


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
