"""The tables of policies, migrated by the service's command, while replicas of one version or the next use them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from os import environ

import pytest
from stockade_network_policy.adapters.messages_postgres import PostgresMessageLimits
from stockade_network_policy.adapters.policies_postgres import PostgresPolicies
from stockade_network_policy.adapters.postgres import SCHEMA, open_database
from stockade_network_policy.domain.errors import PoliciesUnavailable
from stockade_network_policy.domain.permits import MessageLimit
from stockade_network_policy.domain.policy import Change, Limits, Policy
from stockade_network_policy.domain.ports import Write
from stockade_rpckit.migrations import Schema, Step

from support.postgres import PostgresServer

LIMIT = MessageLimit(message_type="note", messages_per_minute=1, burst=7)
POLICY = Policy(
    agent_type="kept",
    allowed_domains=("a.com",),
    limits=Limits(requests_per_minute=1, requests_per_hour=1, burst_size=1),
)
NEXT = Schema(
    SCHEMA.name,
    SCHEMA.command,
    (
        *SCHEMA.steps,
        Step(
            "ALTER TABLE stockade_policy.versions ADD COLUMN note text NOT NULL DEFAULT ''",
            "ALTER TABLE stockade_policy.versions DROP COLUMN note",
        ),
    ),
)
"""What a later program might add."""


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as url:
        yield url


def migrate(url: str, *words: str) -> tuple[int, str]:
    """The command's status, and what it said."""
    command = [sys.executable, "-m", "stockade_network_policy", "migrate", *words]
    told = {**environ, "STOCKADE_POLICY_STORE": url}
    done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).strip()


def write(store: PostgresPolicies, change: Change, *domains: str) -> None:
    store.write([Write(policy=replace(POLICY, allowed_domains=domains), change=change)], by="operator:ana", now_ns=1)


def test_the_command_goes_forward_back_and_forward_and_keeps_what_there_is(url: str) -> None:
    newest = SCHEMA.newest
    assert migrate(url, "--status") == (0, f"version 0, the newest is {newest}")
    assert migrate(url) == (0, f"version 0 -> {newest}")
    store, limits = PostgresPolicies(open_database(url)), PostgresMessageLimits(open_database(url))
    write(store, Change.CREATED, "a.com")
    limits.put(LIMIT)
    assert migrate(url, "--to", "1") == (0, f"version {newest} -> 1")
    assert migrate(url) == (0, f"version 1 -> {newest}")
    assert migrate(url) == (0, f"version {newest} already")
    assert [policy.changed_by for policy in store.policies()] == ["operator:ana"]
    assert limits.all() == [LIMIT]
    store.close()
    limits.close()


@pytest.mark.parametrize(
    ("words", "store", "status", "mend"),
    [
        (("--to", "99"), "", 2, f"choose 0 to {SCHEMA.newest}"),
        ((), "sqlite:///x", 2, "write postgresql://role@host/database"),
        ((), "postgresql://ana:s3cret@h/x", 2, "put it into a file"),
        ((), "postgresql:///x?host=/nowhere", 1, "PostgreSQL: "),
    ],
    ids=["no such version", "no URL", "a password", "nobody there"],
)
def test_the_command_refuses_in_one_line(url: str, words: tuple[str, ...], store: str, status: int, mend: str) -> None:
    returned, said = migrate(store or url, *words)
    assert (returned, len(said.splitlines())) == (status, 1), said
    assert mend in said
    assert "s3cret" not in said


def test_replicas_of_the_version_before_go_on_while_the_next_ones_tables_come_and_go(url: str) -> None:
    SCHEMA.migrate(url)
    old = PostgresPolicies(open_database(url))
    write(old, Change.CREATED, "a.com")
    NEXT.migrate(url)
    write(old, Change.UPDATED, "b.com")
    restarted = PostgresPolicies(open_database(url))
    write(restarted, Change.UPDATED, "c.com")
    NEXT.migrate(url, SCHEMA.newest)
    write(old, Change.UPDATED, "d.com")
    assert [policy.version for policy in restarted.policies()] == [4]
    old.close()
    restarted.close()


def test_tables_too_old_are_not_used(url: str) -> None:
    SCHEMA.migrate(url, 1)
    store = PostgresPolicies(open_database(url))
    with pytest.raises(PoliciesUnavailable, match="run `stockade-network-policy migrate`"):
        store.revision()
    store.close()
