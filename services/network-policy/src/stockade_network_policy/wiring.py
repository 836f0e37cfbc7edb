"""The service put together: the one module that names concrete adapters."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from stockade.networkpolicy.v1 import (
    decision_service_pb2_grpc,
    gate_service_pb2_grpc,
    lease_service_pb2_grpc,
    limit_service_pb2_grpc,
    policy_service_pb2_grpc,
)
from stockade_audit.sqlite_schema import SchemaTooNew
from stockade_rpckit import threads
from stockade_rpckit.journals import open_journal
from stockade_rpckit.logs import get_logger
from stockade_rpckit.postgres import UrlRefused
from stockade_rpckit.recording import Describe
from stockade_rpckit.server import Served, Wiring
from stockade_rpckit.settings import load, refuse

from stockade_network_policy import policy_file
from stockade_network_policy.adapters.limits_guarded import GuardedLimits
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.adapters.messages_postgres import PostgresMessageLimits
from stockade_network_policy.adapters.messages_sqlite import SqliteMessageLimits
from stockade_network_policy.adapters.policies_postgres import PostgresPolicies
from stockade_network_policy.adapters.policies_sqlite import SqlitePolicies
from stockade_network_policy.adapters.postgres import listen, open_database
from stockade_network_policy.adapters.redis_client import NOEVICTION
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.errors import LimitsRefused, LimitsUnavailable, PoliciesUnavailable
from stockade_network_policy.domain.policy import Policy
from stockade_network_policy.domain.ports import LimitStore, MessageLimitStore, PolicyStore
from stockade_network_policy.envoy.server import serve as serve_envoy
from stockade_network_policy.follower import Bell, Follower
from stockade_network_policy.gate.gate import Gate
from stockade_network_policy.gate.settings import PREFIX, GateSettings
from stockade_network_policy.handlers import gate as gate_handlers
from stockade_network_policy.handlers.decisions import DecisionHandler
from stockade_network_policy.handlers.failures import FAILURES
from stockade_network_policy.handlers.leases import LeaseHandler
from stockade_network_policy.handlers.limits import LimitHandler
from stockade_network_policy.handlers.policies import DESCRIBE
from stockade_network_policy.handlers.questions import PolicyHandler
from stockade_network_policy.judgement import Judgement
from stockade_network_policy.leases import Leases
from stockade_network_policy.permits import Messages
from stockade_network_policy.policy_file import PolicyFile, PolicyFileCorrupt
from stockade_network_policy.readings import readings
from stockade_network_policy.settings import PolicySettings
from stockade_network_policy.snapshots import Signer, Snapshots

log = get_logger(__name__)

REDIS_TRIES = 5
Background = Callable[[], Awaitable[None]]

PACKAGE = "stockade.networkpolicy.v1"
_ADD: dict[str, Callable[..., None]] = {
    "PolicyService": policy_service_pb2_grpc.add_PolicyServiceServicer_to_server,
    "DecisionService": decision_service_pb2_grpc.add_DecisionServiceServicer_to_server,
    "LeaseService": lease_service_pb2_grpc.add_LeaseServiceServicer_to_server,
    "LimitService": limit_service_pb2_grpc.add_LimitServiceServicer_to_server,
    "GateService": gate_service_pb2_grpc.add_GateServiceServicer_to_server,
}
_DESCRIBE: dict[str, Mapping[str, Describe]] = {"PolicyService": DESCRIBE, "GateService": gate_handlers.DESCRIBE}


async def wire(settings: PolicySettings) -> Wiring:
    """The service that `settings` ask for. Ends the process, in one line, for settings nobody can serve."""
    seeds = read_seeds(settings)  # before anything is opened: a corrupt file changes nothing
    journal = open_journal(settings, "policy")
    bell = Bell()
    store, message_limits, beside_store = open_store(settings, bell)
    limits, beside_limits = await open_limits(settings)
    catalogue = Catalogue(store, seeds.aliases)
    permits = Messages(message_limits, limits)
    await read_store(catalogue, permits, seeds.policies)
    followers = Follower("policies", catalogue.refresh, bell), Follower("message limits", permits.refresh, bell)
    judgement = Judgement(
        catalogue,
        limits,
        journal,
        outcome_wait_s=settings.outcome_seconds,
        names_per_minute=settings.names_per_minute,
    )
    leases = Leases(catalogue, limits, journal, settings.lease_seconds)
    gate = Gate(replace(load(GateSettings, PREFIX), run_dir=settings.run_dir), judgement, catalogue, journal)
    narrowing = partial(_narrowing, gate)
    signer = Signer(store_dir(settings) / "snapshot.key")
    snapshots = Snapshots(catalogue, narrowing, signer, settings.snapshot_seconds)
    handlers = {
        "PolicyService": PolicyHandler(catalogue, judgement.decisions, snapshots),
        "DecisionService": DecisionHandler(judgement, narrowing),
        "LeaseService": LeaseHandler(leases, snapshots),
        "LimitService": LimitHandler(catalogue, limits, judgement.decisions, permits),
        "GateService": gate_handlers.GateHandler(gate, catalogue, judgement.traffic),
    }

    async def on_drain() -> None:
        await limits.close()
        store.close()
        message_limits.close()

    return Wiring(
        served=[
            Served(f"{PACKAGE}.{name}", _ADD[name], handler, _DESCRIBE.get(name, {}))
            for name, handler in handlers.items()
        ],
        journal=journal,
        failures={**FAILURES, **gate_handlers.FAILURES},
        background=[
            *(follower.run for follower in followers),
            judgement.close_abandoned,
            leases.close_expired,
            gate.run,
            partial(serve_envoy, judgement, settings.run_dir / "services", settings.trust_domain),
            partial(end_overdue, judgement, gate),
            *beside_store,
            *beside_limits,
        ],
        on_drain=on_drain,
        parts={
            "limits": lambda: not limits.degraded,
            "policies": lambda: not any(follower.degraded for follower in followers),
        },
        readings=readings(judgement, gate, followers),
    )


async def end_overdue(judgement: Judgement, gate: Gate) -> None:
    """Cuts tunnels that outlived their policy, for ever."""
    while True:
        await asyncio.sleep(1.0)
        try:
            await gate.cut(judgement.overdue())
        except Exception:
            log.exception("tunnels that are overdue could not be cut")


def _narrowing(gate: Gate, sandbox: str) -> tuple[str, ...] | None:
    door = gate.doors.get(sandbox)
    return door.narrowing if door else None


def read_seeds(settings: PolicySettings) -> PolicyFile:
    """The policies of the settings' file."""
    try:
        return policy_file.load(settings.policy_file)
    except PolicyFileCorrupt as error:
        refuse(str(error))


def store_dir(settings: PolicySettings) -> Path:
    """Where the service keeps what outlives it."""
    return settings.state_dir / "policy"


def open_store(settings: PolicySettings, bell: Bell) -> tuple[PolicyStore, MessageLimitStore, list[Background]]:
    """The database of policies and of message limits, and what has to run beside it."""
    if settings.store:
        return open_shared_store(settings.store, bell)
    path = store_dir(settings) / "policies.sqlite"
    try:
        return SqlitePolicies(path), SqliteMessageLimits(path), []
    except SchemaTooNew as error:
        refuse(f"{path.parent}: {error}")
    except (sqlite3.Error, OSError) as error:
        refuse(f"{path} cannot be used as the store of policies: {error}; restore it from a backup, or move it away")


def open_shared_store(url: str, bell: Bell) -> tuple[PolicyStore, MessageLimitStore, list[Background]]:
    """The same for replicas that share it; `bell` rings when one of them has changed something."""
    try:
        database = open_database(url)
    except UrlRefused as error:
        refuse(f"STOCKADE_POLICY_STORE: {error}")
    return PostgresPolicies(database), PostgresMessageLimits(database), [partial(listen, url, bell)]


async def read_store(catalogue: Catalogue, permits: Messages, seeds: Sequence[Policy]) -> None:
    """What holds at the start; without it there is none, since nobody knows what to allow."""
    try:
        await threads.run(catalogue.store.seed, seeds, now_ns=time.time_ns())
        await catalogue.refresh()
        await permits.refresh()
    except PoliciesUnavailable as error:
        refuse(f"STOCKADE_POLICY_STORE: {error}")


async def open_limits(settings: PolicySettings) -> tuple[LimitStore, list[Background]]:
    """The engine that counts, and what has to run beside it."""
    if settings.limits not in ("memory", "redis"):
        refuse(f"STOCKADE_POLICY_LIMITS={settings.limits} is unknown; choose memory or redis")
    if settings.redis_away not in ("deny", "local"):
        refuse(f"STOCKADE_POLICY_REDIS_AWAY={settings.redis_away} is unknown; choose deny or local")
    if settings.limits == "memory":
        return MemoryLimits(), []
    local = MemoryLimits() if settings.redis_away == "local" else None
    try:
        engine = RedisLimits(settings.redis_url, cluster=settings.redis_cluster)
    except ValueError as error:
        refuse(f"STOCKADE_POLICY_REDIS_URL: {error}")
    guarded = GuardedLimits(engine, local, settings.redis_away_share)
    if settings.redis_eviction_ok:
        return guarded, [guarded.watch]
    await inspect_redis(engine)
    return guarded, [guarded.watch, engine.watch_eviction]


async def inspect_redis(engine: RedisLimits) -> None:
    """Ends the process where Redis does not let us in, or would lose counts; one that is away is asked again later."""
    for _ in range(REDIS_TRIES):
        try:
            policy = await engine.eviction_policy()
        except LimitsRefused as error:
            refuse(
                f"STOCKADE_POLICY_REDIS_URL: {error}; put its name and password into the URL, as redis://name:password@"
            )
        except LimitsUnavailable:
            await asyncio.sleep(0.1)
            continue
        if policy != NOEVICTION:
            refuse(
                f"STOCKADE_POLICY_REDIS_URL: that Redis throws counters away when its memory is full ({policy}), and a"
                " limit would be granted twice: set its maxmemory-policy to noeviction, or"
                " STOCKADE_POLICY_REDIS_EVICTION_OK=true"
            )
        return
    log.warning("Redis does not answer: the limits are degraded from the start")
