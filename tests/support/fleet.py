"""Several sandbox services as one fleet: on one engine, each with a name and uids of its own, over one real Redis."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.engine import EngineInUse
from support.redis_server import RedisServer, redis_server
from support.sandbox_service import ServedSandboxes, served_sandboxes

UIDS = 300
"""How many uids each node has."""


@dataclass(frozen=True)
class ServedFleet:
    """The nodes, in the order of their names, and the registry that they share."""

    nodes: Sequence[ServedSandboxes]
    redis: RedisServer


@contextmanager
def served_fleet(
    engine: EngineInUse, directory: Path, names: Sequence[str], **settings: object
) -> Iterator[ServedFleet]:
    """A fleet for as long as the block runs."""
    with redis_server(directory) as redis, ExitStack() as exits:
        first_uid = 1_900_000_000 + os.getpid() % 100_000 * 1000
        nodes = [
            exits.enter_context(
                served_sandboxes(
                    engine,
                    **{
                        "node": name,
                        "registry_url": redis.url,
                        "uid_base": first_uid + place * UIDS,
                        "uid_count": UIDS,
                    }
                    | settings,
                )
            )
            for place, name in enumerate(names)
        ]
        yield ServedFleet(nodes, redis)
