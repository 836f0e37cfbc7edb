"""The database that replicas share: its tables, and the word that one of them has changed something."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import psycopg
from stockade_rpckit.logs import get_logger
from stockade_rpckit.migrations import Schema, Step
from stockade_rpckit.postgres import Database, conninfo

from stockade_network_policy.domain.errors import PoliciesUnavailable
from stockade_network_policy.follower import Bell

log = get_logger(__name__)

ANSWER_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 5.0  # how often a connection on which nothing comes is asked whether it lives

_TABLES: Final = Step(
    forward="""
CREATE TABLE stockade_policy.versions (
    revision   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_type text NOT NULL,
    version    bigint NOT NULL,
    change     text NOT NULL,
    body       text NOT NULL,
    changed_by text NOT NULL,
    time_ns    bigint NOT NULL,
    request_id text UNIQUE,
    UNIQUE (agent_type, version)
);
CREATE TABLE stockade_policy.message_limits (
    message_type        text NOT NULL,
    agent_type          text NOT NULL,
    messages_per_minute bigint NOT NULL,
    burst               bigint NOT NULL,
    PRIMARY KEY (message_type, agent_type)
);
""",
    back="DROP TABLE stockade_policy.message_limits, stockade_policy.versions;",
)
# By triggers, so that whoever writes tells it: a replica of the version before as well, and a person at psql.
_TELLING: Final = Step(
    forward="""
CREATE FUNCTION stockade_policy.tell() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_notify(''stockade_policy'', ''''); RETURN NULL; END';
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON stockade_policy.versions
    FOR EACH STATEMENT EXECUTE FUNCTION stockade_policy.tell();
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON stockade_policy.message_limits
    FOR EACH STATEMENT EXECUTE FUNCTION stockade_policy.tell();
""",
    back="DROP FUNCTION stockade_policy.tell() CASCADE;",
)
SCHEMA: Final = Schema("stockade_policy", "stockade-network-policy migrate", (_TABLES, _TELLING))


def open_database(url: str) -> Database:
    """The database of policies and message limits; connected when first used. Raises UrlRefused."""
    return Database(url, SCHEMA, PoliciesUnavailable, ANSWER_SECONDS)


async def listen(url: str, bell: Bell) -> None:
    """Rings when any replica has changed something, for ever; while the server is away, who follows it still looks."""
    while True:
        try:
            await _hear(url, bell)
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.debug("nobody tells of changes", extra={"error": str(error)})
        await asyncio.sleep(_RETRY_SECONDS)


async def _hear(url: str, bell: Bell) -> None:
    connection: psycopg.AsyncConnection[tuple[Any, ...]]
    connection = await psycopg.AsyncConnection.connect(conninfo(url, "stockade-policy-listening"), autocommit=True)
    async with connection:
        await connection.execute("LISTEN stockade_policy")
        bell.ring()  # for what changed while nobody listened
        while True:
            async for _ in connection.notifies(timeout=_CHECK_SECONDS):
                bell.ring()
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.execute("SELECT 1")
