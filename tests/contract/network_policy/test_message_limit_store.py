"""Every store of message limits passes the same suite."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stockade_network_policy.adapters.messages_memory import MemoryMessageLimits
from stockade_network_policy.adapters.messages_postgres import PostgresMessageLimits
from stockade_network_policy.adapters.messages_sqlite import SqliteMessageLimits
from stockade_network_policy.adapters.postgres import SCHEMA, open_database
from stockade_network_policy.domain.permits import MessageLimit
from stockade_network_policy.domain.ports import MessageLimitStore

from support.postgres import PostgresServer

LIMIT = MessageLimit(message_type="task.handoff", agent_type="tester", messages_per_minute=10, burst=3)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageLimitStore]:
    opened: MessageLimitStore
    with ExitStack() as exits:
        if request.param == "memory":
            opened = MemoryMessageLimits()
        elif request.param == "sqlite":
            opened = SqliteMessageLimits(tmp_path / "m.sqlite")
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            url = exits.enter_context(server.database())
            SCHEMA.migrate(url)
            opened = PostgresMessageLimits(open_database(url))
        yield opened
        opened.close()


def test_what_was_set_is_there(store: MessageLimitStore) -> None:
    assert store.all() == []
    store.put(LIMIT)
    assert store.all() == [LIMIT]


def test_setting_again_replaces(store: MessageLimitStore) -> None:
    store.put(LIMIT)
    changed = MessageLimit(message_type="task.handoff", agent_type="tester", messages_per_minute=5, burst=1)
    store.put(changed)
    assert store.all() == [changed]


def test_each_pair_of_types_has_its_own(store: MessageLimitStore) -> None:
    limits = [
        MessageLimit(message_type=message_type, agent_type=agent_type, messages_per_minute=1, burst=1)
        for message_type in ("", "a")
        for agent_type in ("", "b")
    ]
    for limit in limits:
        store.put(limit)
    assert sorted(store.all(), key=lambda limit: limit.key) == limits
