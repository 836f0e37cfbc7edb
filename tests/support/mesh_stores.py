"""The host that keeps what a mesh's nodes share: Redis and PostgreSQL, reached by the network alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from support.mesh_network import Host
from support.postgres import PostgresServer, postgres_server
from support.redis_server import RedisServer


@dataclass(frozen=True)
class Stores:
    """Both servers, to stop and start, and where nodes reach them. The tests' own way in is a Unix socket."""

    host: Host
    redis: RedisServer
    postgres: PostgresServer

    @property
    def redis_url(self) -> str:
        """Redis, as a node reaches it."""
        return f"redis://{self.host.address}:6379/0"

    def postgres_url(self, database: str) -> str:
        """A database, as a node reaches it."""
        return f"postgresql://{self.postgres.user}@{self.host.address}/{database}"

    def copied(self, domains: str) -> list[str]:
        """The domains of all entries in the copy of the record that are LIKE this, in order."""
        with psycopg.connect(self.postgres.url("record")) as connection:
            found = connection.execute("SELECT domain FROM stockade_audit.entries WHERE domain LIKE %s", [domains])
            return sorted(domain for (domain,) in found)

    def missing(self, ids: Iterable[str]) -> set[str]:
        """Those of these entries that the copy of the record has not, or not yet."""
        wanted = list(ids)
        with psycopg.connect(self.postgres.url("record")) as connection:
            found = connection.execute("SELECT id FROM stockade_audit.entries WHERE id = ANY(%s)", [wanted])
            return set(wanted) - {entry for (entry,) in found}


@contextmanager
def stores(host: Host, directory: Path, *databases: str) -> Iterator[Stores]:
    """Redis that keeps what it holds over a restart and evicts nothing, and PostgreSQL with these databases."""
    kept = {"appendonly": "yes", "protected-mode": "no", "bind": host.address, "port": "6379"}
    redis = RedisServer(directory, host.inside(), **kept)
    try:
        with postgres_server(host.inside(), host.address) as postgres:
            for database in databases:
                with psycopg.connect(postgres.url(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {database}")
            yield Stores(host, redis, postgres)
    finally:
        redis.stop()
