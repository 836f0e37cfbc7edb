"""One of everything that is kept: what `tests/contract/earlier/make` writes with an earlier commit's code, and today's
code reads."""

import asyncio
import sys
from pathlib import Path

from stockade_audit import Action, Entry, Journal
from stockade_audit.daemon.adapters.heads_sqlite import SqliteHeads
from stockade_audit.daemon.adapters.holds_sqlite import SqliteHolds
from stockade_audit.daemon.domain.hold import Hold
from stockade_audit.head import NO_HEAD, Head, JournalHead, origin_of
from stockade_audit.keys import SigningKey
from stockade_audit.tree import EMPTY_ROOT
from stockade_embedding_cache.adapters.sqlite.store import SqliteStore
from stockade_embedding_cache.domain.entry import Entry as Vector
from stockade_embedding_cache.domain.entry import Quota
from stockade_embedding_cache.domain.vector import Dtype, Format
from stockade_network_policy.adapters.messages_sqlite import SqliteMessageLimits
from stockade_network_policy.adapters.policies_sqlite import SqlitePolicies
from stockade_network_policy.domain.permits import MessageLimit
from stockade_network_policy.domain.policy import Change, Limits, Policy
from stockade_network_policy.domain.ports import Write
from stockade_sandbox.adapters.registry_sqlite import SqliteRegistry
from stockade_sandbox.domain.sandbox import Limits as Sizes
from stockade_sandbox.domain.sandbox import NetworkMode, Sandbox, State, Tier

NOW_NS = 1_795_510_539_000_000_000
SLOT = "test-0"
SANDBOX = Sandbox(
    name="sb-abcdefghijkl",
    uid=200_123,
    state=State.RUNNING,
    image="stockade/agent:latest",
    limits=Sizes(cpu=1.5, memory=1 << 30, disk=1 << 28, pids=256),
    tier=Tier.RUNC,
    cpus=(0, 1),
    agent="ana",
    agent_type="test-generator",
    owner="operator/ada",
    network_mode=NetworkMode.WHITELISTED,
    gated=True,
    allowed_domains=("api.example",),
    env={"LANG": "C.UTF-8"},
    labels={"team": "quality"},
    created_at=NOW_NS / 1e9,
    expires_at=NOW_NS / 1e9 + 3600,
    revision=7,
)
POLICY = Policy(
    agent_type="test-generator",
    allowed_domains=("*.example", "api.example"),
    limits=Limits(
        requests_per_minute=60, requests_per_hour=1000, burst_size=10, max_tunnels=4, tunnel_lifetime_s=600.0
    ),
)
MESSAGES = MessageLimit(message_type="task.handoff", messages_per_minute=30, burst=5)
HOLD = Hold(id="h-1", subject="ana", justification="a claim is pending", created_ns=NOW_NS)
VECTOR = Vector(Format(4, Dtype.F32), bytes(range(16)), "agent/ana", NOW_NS / 1e9, NOW_NS / 1e9 + 3600)
LAYER, KEY = "agent/ana", bytes(range(32))
AMPLE = Quota(10_000, 1 << 30)


def entry(number: int) -> Entry:
    """One of the journal's, personal fields among its own."""
    return Entry(
        action=Action.ALLOWED, agent="ana", domain="api.example", path=f"/{number}", time_ns=NOW_NS, id=f"e-{number}"
    )


def write(directory: Path) -> None:
    """One of everything, in this directory."""
    asyncio.run(_write_async(directory))
    policies = SqlitePolicies(directory / "policies.sqlite")
    for limits in (POLICY.limits, Limits(requests_per_minute=30, requests_per_hour=500, burst_size=5)):
        change = Change.UPDATED if policies.policies() else Change.CREATED
        changed = Policy(agent_type=POLICY.agent_type, allowed_domains=POLICY.allowed_domains, limits=limits)
        policies.write([Write(policy=changed, change=change, request_id=change)], by="operator/ada", now_ns=NOW_NS)
    policies.close()
    messages = SqliteMessageLimits(directory / "policies.sqlite")
    messages.put(MESSAGES)
    messages.close()
    holds = SqliteHolds(directory / "holds.sqlite")
    holds.add(HOLD)
    holds.close()
    heads = SqliteHeads(directory / "heads.sqlite")
    heads.add(head(SigningKey.load_or_create(directory / "heads.key", origin_of("")), None))
    heads.close()


def head(key: SigningKey, last: Head | None) -> Head:
    """The next head over a journal of nothing."""
    sequence, previous = (last.sequence + 1, last.hash) if last else (1, NO_HEAD)
    return Head(sequence, NOW_NS, previous, {SLOT: JournalHead(0, EMPTY_ROOT, str(key.verifier))}).signed(key)


async def _write_async(directory: Path) -> None:
    registry = SqliteRegistry(str(directory / "registry.sqlite"))
    await registry.put(SANDBOX)
    await registry.remember_request("operator/ada", "r-1", "digest", SANDBOX.name, NOW_NS / 1e9)
    registry.close()
    vectors = SqliteStore(directory / "vectors.sqlite", total=AMPLE, quota=AMPLE, clock=lambda: NOW_NS / 1e9)
    await vectors.put(LAYER, {KEY: VECTOR})
    await vectors.close()
    journal = Journal.open(directory / "journals", service="test", slot=SLOT, segment_bytes=1 << 14)
    await journal.append_many([entry(number) for number in range(20)])
    journal.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
