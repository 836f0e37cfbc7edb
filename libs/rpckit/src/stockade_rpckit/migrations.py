"""Tables in PostgreSQL, and the steps that lead from one version of them to the next and back, taken by a command.

Upgrades roll: a program made for version N runs on N and on N + 1, so that the tables are migrated first and the
programs follow one by one; going back, the programs go first. A step therefore only adds what the program before it can
do without, and takes away only what that program uses no more (https://martinfowler.com/bliki/ParallelChange.html).
"""

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from stockade_rpckit.settings import refuse

Connection = psycopg.Connection[tuple[Any, ...]]

_LOCK: Final = 0x53746F636B616465  # "Stockade": two migrations at once wait for each other
_CONNECT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One version: what leads to it from the one before, and what leads back."""

    forward: LiteralString
    back: LiteralString


class SchemaUnfit(Exception):
    """The tables are of a version that the program cannot use; the message names the mend."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One program's tables: `name` is their schema in the database, `command` what migrates them."""

    name: LiteralString
    command: str
    steps: tuple[Step, ...]

    @property
    def newest(self) -> int:
        """The version that this program is made for."""
        return len(self.steps)

    def version(self, connection: Connection) -> int:
        """The version of the tables; 0 where there are none."""
        found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{self.name}.version",)).fetchone()
        if found is None or not found[0]:
            return 0
        query = f"SELECT number FROM {self.name}.version"  # noqa: S608 - a constant of ours
        (number,) = connection.execute(query).fetchone() or (0,)
        return int(number)

    def check(self, connection: Connection) -> None:
        """Raises SchemaUnfit unless this program can use the tables as they are."""
        found = self.version(connection)
        if found < self.newest:
            raise SchemaUnfit(f"its schema is version {found}, not {self.newest}: run `{self.command}`")
        if found > self.newest + 1:
            raise SchemaUnfit(self._too_new(found, self.newest + 1))

    def migrate(self, url: str, to: int | None = None) -> tuple[int, int]:
        """Take the tables to a version, by default the newest, in one transaction; returns from which and to which.

        Going back drops what only the later versions keep. Raises SchemaUnfit for tables of a newer program,
        psycopg.Error.
        """
        to = self.newest if to is None else to
        with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute("SET LOCAL lock_timeout = '5s'")  # whoever waits for a table keeps all others waiting
            found = self.version(connection)
            if found > self.newest:
                raise SchemaUnfit(self._too_new(found, self.newest))
            for statements in self._path(found, to):
                connection.execute(statements)
            if to:
                connection.execute(f"UPDATE {self.name}.version SET number = %s", (to,))  # noqa: S608 - a constant of ours
        return found, to

    def _too_new(self, found: int, usable: int) -> str:
        back = f"take it back with the program that made it (`{self.command} --to {usable}`)"
        return (
            f"its schema is version {found}, of a newer program, and this one knows {self.newest}: {back}, or run that"
        )

    def _path(self, found: int, to: int) -> list[LiteralString]:
        begin = [
            f"CREATE SCHEMA IF NOT EXISTS {self.name}",
            f"CREATE TABLE {self.name}.version (number integer NOT NULL)",
            f"INSERT INTO {self.name}.version VALUES (0)",  # noqa: S608 - a constant of ours
        ]
        forward = [step.forward for step in self.steps[found:to]]
        back = [step.back for step in reversed(self.steps[to:found])]
        end = [f"DROP SCHEMA {self.name} CASCADE"]
        return [*(begin if found == 0 and to else []), *forward, *back, *(end if found and not to else [])]


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Let a program's command line have `migrate [--to N | --status]`."""
    parser = commands.add_parser("migrate", help="take the tables in PostgreSQL to a version, forward or back")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--to", type=int, metavar="N", help="the version; by default the newest, 0 removes everything")
    what.add_argument("--status", action="store_true", help="only say which version there is, and which is the newest")


def run_command(schema: Schema, urls: Collection[str], arguments: argparse.Namespace) -> int:
    """Do what was asked of the databases and print it. The process's status: 1 where one cannot be reached."""
    to = schema.newest if arguments.to is None else arguments.to
    if not 0 <= to <= schema.newest:
        refuse(f"there is no version {to}: choose 0 to {schema.newest}")
    try:
        for url in sorted(urls):
            print(_status(schema, url) if arguments.status else _migrated(schema, url, to))
    except SchemaUnfit as error:
        refuse(str(error))
    except psycopg.Error as error:
        print(f"stockade: PostgreSQL: {' '.join(str(error).split())}")
        return 1
    return 0


def _status(schema: Schema, url: str) -> str:
    with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
        return f"version {schema.version(connection)}, the newest is {schema.newest}"


def _migrated(schema: Schema, url: str, to: int) -> str:
    before, after = schema.migrate(url, to)
    return f"version {before} -> {after}" if before != after else f"version {after} already"
