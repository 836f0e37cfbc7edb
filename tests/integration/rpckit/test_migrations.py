"""Tables in PostgreSQL are taken forward and back, once, whoever asks at the same time and wherever it is cut off."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from stockade_rpckit.migrations import Schema, SchemaUnfit, Step
from stockade_rpckit.postgres import Database

from support.postgres import PostgresServer

NOTES = Step("CREATE TABLE toy.notes (id serial PRIMARY KEY, text text NOT NULL)", "DROP TABLE toy.notes")
AUTHORS = Step("ALTER TABLE toy.notes ADD COLUMN author text", "ALTER TABLE toy.notes DROP COLUMN author")
BY_TEXT = Step("CREATE INDEX notes_text ON toy.notes (text)", "DROP INDEX toy.notes_text")
SLOW = Step("CREATE TABLE toy.slow (id int); SELECT pg_sleep(30)", "DROP TABLE toy.slow")


def program(*steps: Step) -> Schema:
    """A program that is made for these versions."""
    return Schema("toy", "toy migrate", steps)


ONE, TWO, THREE = program(NOTES), program(NOTES, AUTHORS), program(NOTES, AUTHORS, BY_TEXT)


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as url:
        yield url


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def test_forward_back_and_forward_again_keep_what_each_version_has(url: str) -> None:
    assert ONE.migrate(url) == (0, 1)
    run(url, "INSERT INTO toy.notes (text) VALUES ('kept')")
    assert THREE.migrate(url) == (1, 3)
    run(url, "UPDATE toy.notes SET author = 'ana'")
    assert THREE.migrate(url, 2) == (3, 2)
    assert run(url, "SELECT * FROM toy.notes") == [(1, "kept", "ana")]
    assert THREE.migrate(url, 1) == (2, 1)
    assert run(url, "SELECT * FROM toy.notes") == [(1, "kept")]
    assert THREE.migrate(url) == (1, 3)
    assert run(url, "SELECT * FROM toy.notes") == [(1, "kept", None)]
    assert THREE.migrate(url, 0) == (3, 0)
    assert run(url, "SELECT to_regnamespace('toy')") == [(None,)]


def test_two_at_once_do_it_once(url: str) -> None:
    done: list[tuple[int, int]] = []
    asking = [threading.Thread(target=lambda: done.append(THREE.migrate(url))) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(30)
    assert sorted(done) == [(0, 3), (3, 3), (3, 3), (3, 3)]


def test_what_is_killed_midway_has_done_nothing(url: str) -> None:
    TWO.migrate(url)
    run(url, "INSERT INTO toy.notes (text) VALUES ('kept')")
    steps = [(step.forward, step.back) for step in (NOTES, AUTHORS, SLOW)]
    make = f"Schema('toy', '', tuple(Step(*s) for s in {steps}))"
    code = f"from stockade_rpckit.migrations import *\n{make}.migrate({url!r})"
    process = subprocess.Popen([sys.executable, "-c", code])
    asleep = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    while not run(url, asleep):
        assert process.poll() is None
    process.kill()
    process.wait()
    run(url, f"SELECT pg_terminate_backend(pid) FROM ({asleep}) AS found")  # the server would notice when it answers
    assert run(url, "SELECT to_regclass('toy.slow')") == [(None,)]
    assert THREE.migrate(url) == (2, 3)
    assert run(url, "SELECT text FROM toy.notes") == [("kept",)]


@pytest.mark.parametrize(
    ("made_for", "found", "mend"),
    [
        (TWO, 1, "run `toy migrate`"),
        (TWO, 2, ""),
        (TWO, 3, ""),  # a rolling upgrade: the tables go first
        (ONE, 3, "`toy migrate --to 2`"),
    ],
)
def test_a_program_runs_on_its_version_and_on_the_next(url: str, made_for: Schema, found: int, mend: str) -> None:
    THREE.migrate(url, found)
    with psycopg.connect(url) as connection:
        if mend:
            with pytest.raises(SchemaUnfit, match=mend):
                made_for.check(connection)
        else:
            made_for.check(connection)


def test_tables_of_a_newer_program_are_left_as_they_are(url: str) -> None:
    THREE.migrate(url)
    with pytest.raises(SchemaUnfit, match="of a newer program"):
        ONE.migrate(url, 0)
    assert run(url, "SELECT number FROM toy.version") == [(3,)]


def test_a_frozen_server_is_left_after_a_while_and_found_again(postgres: PostgresServer, url: str) -> None:
    ONE.migrate(url)
    database = Database(url, ONE, RuntimeError, answer_s=0.5)
    with database.transaction() as connection:
        connection.execute("INSERT INTO toy.notes (text) VALUES ('before')")
    postgres.pause()
    try:
        with pytest.raises(RuntimeError, match="PostgreSQL"), database.transaction() as connection:
            connection.execute("INSERT INTO toy.notes (text) VALUES ('never')")
    finally:
        postgres.resume()
    with database.transaction() as connection:
        assert connection.execute("SELECT text FROM toy.notes").fetchall() == [("before",)]
    database.close()
