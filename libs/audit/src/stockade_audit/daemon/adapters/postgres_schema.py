"""The tables in PostgreSQL, and the steps that lead from one version of them to the next and back.

Everything lies in the schema `stockade_audit`; each row says by `node` whose machine it is of, so that a fleet can
share one database. The daemon's role needs SELECT and INSERT on `entries` and `heads`, and UPDATE on `journals` alone.
"""

from dataclasses import dataclass
from typing import Any, Final

import psycopg


@dataclass(frozen=True, slots=True)
class Step:
    """One version: what leads to it, and what leads back."""

    forward: str
    back: str


# The database itself holds each leaf to its hash: what was not computed from it cannot be stored beside it.
_COPIES: Final = Step(
    forward=r"""
CREATE TABLE stockade_audit.journals (
    node text NOT NULL, slot text NOT NULL, size bigint NOT NULL, edge bytea NOT NULL,
    PRIMARY KEY (node, slot)
);
CREATE TABLE stockade_audit.entries (
    node text NOT NULL, slot text NOT NULL, position bigint NOT NULL, hash bytea NOT NULL, leaf bytea NOT NULL,
    time timestamptz NOT NULL, id text NOT NULL, service text NOT NULL, action text NOT NULL, agent_type text NOT NULL,
    domain text NOT NULL, reason text NOT NULL, rule text NOT NULL, status text NOT NULL, trace_id text NOT NULL,
    PRIMARY KEY (node, slot, position),
    CHECK (hash = sha256('\x00'::bytea || leaf))
);
CREATE INDEX entries_time ON stockade_audit.entries (time);
CREATE INDEX entries_action ON stockade_audit.entries (action, time);
CREATE INDEX entries_id ON stockade_audit.entries (id);
CREATE INDEX entries_domain ON stockade_audit.entries (domain, time) WHERE domain <> '';
CREATE INDEX entries_trace ON stockade_audit.entries (trace_id) WHERE trace_id <> '';
""",
    back="DROP TABLE stockade_audit.entries, stockade_audit.journals;",
)
_HEADS: Final = Step(
    forward="""
CREATE TABLE stockade_audit.witness_keys (origin text PRIMARY KEY, key text NOT NULL);
CREATE TABLE stockade_audit.heads (
    origin text NOT NULL REFERENCES stockade_audit.witness_keys, sequence bigint NOT NULL, note bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, sequence)
);
""",
    back="DROP TABLE stockade_audit.heads, stockade_audit.witness_keys;",
)
STEPS: Final = (_COPIES, _HEADS)
NEWEST: Final = len(STEPS)

_LOCK: Final = 0x53746F636B616465  # "Stockade": two migrations at once wait for each other


def version(connection: "psycopg.Connection[tuple[Any, ...]]") -> int:
    """The version of the tables; 0 where there are none."""
    (found,) = connection.execute("SELECT to_regclass('stockade_audit.version') IS NOT NULL").fetchone() or (False,)
    if not found:
        return 0
    (number,) = connection.execute("SELECT number FROM stockade_audit.version").fetchone() or (0,)
    return int(number)


def migrate(url: str, to: int = NEWEST) -> tuple[int, int]:
    """Take the tables to a version, forward or back, in one transaction; returns from which and to which.

    Going back drops what the later versions keep. Raises psycopg.Error.
    """
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        found = version(connection)
        for statements in _path(found, to):
            connection.execute(statements)  # type: ignore[call-overload]
        if to:
            connection.execute("UPDATE stockade_audit.version SET number = %s", (to,))
    return found, to


def _path(found: int, to: int) -> list[str]:
    begin = "CREATE SCHEMA IF NOT EXISTS stockade_audit;"
    begin += " CREATE TABLE stockade_audit.version (number integer NOT NULL);"
    begin += " INSERT INTO stockade_audit.version VALUES (0);"
    forward = [step.forward for step in STEPS[found:to]]
    back = [step.back for step in reversed(STEPS[to:found])]
    end = "DROP SCHEMA stockade_audit CASCADE;"
    return [*([begin] if found == 0 and to else []), *forward, *back, *([end] if found and not to else [])]
