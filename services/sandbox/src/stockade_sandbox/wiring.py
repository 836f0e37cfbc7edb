"""Puts the service together: the only module that names concrete adapters."""

import hashlib
import sqlite3

import yaml
from stockade.sandbox.v1 import (
    exec_service_pb2_grpc,
    file_service_pb2_grpc,
    node_service_pb2_grpc,
    profile_service_pb2_grpc,
    sandbox_service_pb2_grpc,
)
from stockade_audit.sqlite_schema import SchemaTooNew
from stockade_rpckit.channel import connect
from stockade_rpckit.journals import open_journal
from stockade_rpckit.logs import get_logger
from stockade_rpckit.server import Served, Wiring
from stockade_rpckit.settings import refuse

from stockade_sandbox import host
from stockade_sandbox.adapters.disks_loop import LoopDisks
from stockade_sandbox.adapters.fleet_memory import MemoryFleet
from stockade_sandbox.adapters.fleet_redis import RedisFleet
from stockade_sandbox.adapters.gate_grpc import GrpcGate
from stockade_sandbox.adapters.registry_sqlite import SqliteRegistry
from stockade_sandbox.assembly import Assembly
from stockade_sandbox.cordon import Cordon
from stockade_sandbox.directory import Directory
from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.errors import FleetUnavailable, FleetUnsuitable, NodeNameTaken, TierUnavailable
from stockade_sandbox.domain.placement import LEAVE_SECONDS
from stockade_sandbox.domain.ports import Engine, Fleet
from stockade_sandbox.domain.profile import Catalogue, catalogue
from stockade_sandbox.drains import Drains
from stockade_sandbox.engines.docker import DockerEngine
from stockade_sandbox.engines.namespace import NamespaceEngine
from stockade_sandbox.handlers import exec as exec_handlers
from stockade_sandbox.handlers import files as file_handlers
from stockade_sandbox.handlers import sandboxes as sandbox_handlers
from stockade_sandbox.handlers.access import naming_agents
from stockade_sandbox.handlers.elsewhere import telling_where
from stockade_sandbox.handlers.failures import FAILURES
from stockade_sandbox.handlers.nodes import NodeHandler
from stockade_sandbox.handlers.profiles import ProfileHandler
from stockade_sandbox.handlers.room import CREATE, Room
from stockade_sandbox.handlers.sandboxes import SandboxHandler
from stockade_sandbox.lifecycle import Lifecycle
from stockade_sandbox.membership import Membership
from stockade_sandbox.memories import Memories
from stockade_sandbox.observation import Observation
from stockade_sandbox.places import Places
from stockade_sandbox.pool import Shape, wanted
from stockade_sandbox.readings import readings
from stockade_sandbox.records import Ends, record_start
from stockade_sandbox.rounds import Rounds
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.settings import Settings
from stockade_sandbox.snapshots import Snapshots
from stockade_sandbox.supervision import Supervision
from stockade_sandbox.this_node import ThisNode, identity
from stockade_sandbox.uids import Uids
from stockade_sandbox.upkeep import Upkeep

log = get_logger(__name__)

PACKAGE = "stockade.sandbox.v1"
MIB = 1 << 20


async def wire(settings: Settings) -> Wiring:
    """The service of `settings`. Ends the process with one line for settings that cannot hold."""
    places = Places(settings.run_dir, settings.state_dir, settings.gate_group)
    rules, profiles = _rules(settings), _profiles(settings)
    places.prepare()
    capacity = host.capacity(places.images)
    profiles = profiles.held_to(capacity)
    registry = _registry(places)
    node = identity(settings.node, settings.state_dir)
    room = Room(lambda: this_node.has_room())
    membership = Membership(_fleet(settings), node, alone=_alone(settings), placed=room.placed)
    sandboxes = Sandboxes(registry, settings.node, membership.tell)
    await sandboxes.load()
    cordon = Cordon(registry)
    await cordon.load()

    journal = open_journal(settings, "sandbox")
    await record_start(journal, settings.profiles.read_bytes())
    engine = _engine(settings)
    disks = LoopDisks(
        places.images,
        places.disks,
        places.snapshots,
        settings.disk_reserve_mib * MIB,
        settings.node,
        settings.disk_mib_per_second * MIB,
    )
    memories = Memories(places.memories, settings.disk_reserve_mib * MIB, settings.node)
    gate = GrpcGate(connect(f"unix:{settings.run_dir}/services/policy.sock"))
    taken = (sandbox.uid for sandbox in sandboxes.present())

    lifecycle = Lifecycle(
        node=settings.node,
        rules=rules,
        profiles=profiles,
        sandboxes=sandboxes,
        registry=registry,
        membership=membership,
        cordon=cordon,
        assemble=lambda keeper: Assembly(
            engine, disks, gate, Supervision(keeper), places, memories, settings.supervisor_dir
        ),
        engine=engine,
        uids=Uids(settings.uid_base, settings.uid_count, taken, settings.node),
        warm=_warm(settings, rules, profiles),
        ended=Ends(journal).record,
    )
    supervision = lifecycle.assembly.supervision
    observation = Observation(sandboxes, engine, disks, gate, supervision)
    snapshots = Snapshots(lifecycle, disks, memories, registry, Ends(journal).forked)
    await snapshots.load()
    directory = Directory(sandboxes, membership.fleet, settings.node)
    drains = Drains(cordon, lifecycle)
    this_node = ThisNode(node, lifecycle, drains, engine, capacity)
    rounds = Rounds(
        membership=membership,
        this_node=this_node,
        lifecycle=lifecycle,
        drains=drains,
        ended=Ends(journal).record,
        keep_ended=settings.keep_ended_seconds,
    )
    await _join(membership, sandboxes)
    upkeep = Upkeep(
        lifecycle=lifecycle,
        sandboxes=sandboxes,
        assembly=lifecycle.assembly,
        engine=engine,
        observation=observation,
        keep_ended=settings.keep_ended_seconds,
    )

    def takes_more() -> bool:
        return membership.counts and this_node.has_room()

    async def drain() -> None:
        await lifecycle.pool.drain()
        await supervision.shut_down()
        await membership.leave(LEAVE_SECONDS if sandboxes.living() else 0.0)

    return Wiring(
        served=[
            Served(
                f"{PACKAGE}.SandboxService",
                sandbox_service_pb2_grpc.add_SandboxServiceServicer_to_server,
                telling_where(
                    room.telling(SandboxHandler(lifecycle, sandboxes, directory, observation, snapshots)), directory
                ),
                naming_agents(sandbox_handlers.DESCRIBE, sandboxes),
            ),
            Served(
                f"{PACKAGE}.ExecService",
                exec_service_pb2_grpc.add_ExecServiceServicer_to_server,
                telling_where(exec_handlers.ExecHandler(sandboxes, supervision), directory),
                naming_agents(exec_handlers.DESCRIBE, sandboxes),
            ),
            Served(
                f"{PACKAGE}.FileService",
                file_service_pb2_grpc.add_FileServiceServicer_to_server,
                telling_where(file_handlers.FileHandler(sandboxes, supervision), directory),
                naming_agents(file_handlers.DESCRIBE, sandboxes),
            ),
            Served(
                f"{PACKAGE}.ProfileService",
                profile_service_pb2_grpc.add_ProfileServiceServicer_to_server,
                ProfileHandler(profiles),
            ),
            Served(
                f"{PACKAGE}.NodeService",
                node_service_pb2_grpc.add_NodeServiceServicer_to_server,
                NodeHandler(membership.fleet, this_node, drains),
            ),
        ],
        journal=journal,
        failures=FAILURES,
        background=[
            upkeep.run_clock,
            upkeep.run_events,
            lifecycle.pool.run,
            supervision.heartbeat,
            rounds.run,
            this_node.run,
        ],
        on_drain=drain,
        parts={"registry": lambda: membership.joined} if settings.registry_url else {},
        takes={CREATE: takes_more},
        readings=readings(sandboxes, lifecycle.pool),
    )


def _fleet(settings: Settings) -> Fleet:
    if not settings.registry_url:
        return MemoryFleet()
    try:
        return RedisFleet(settings.registry_url)
    except ValueError as error:
        refuse(f"STOCKADE_SANDBOX_REGISTRY_URL: {error}")


def _alone(settings: Settings) -> bool:
    if settings.registry_away not in ("deny", "local"):
        refuse(f"STOCKADE_SANDBOX_REGISTRY_AWAY: want deny or local, not {settings.registry_away!r}")
    return settings.registry_away == "local"


async def _join(membership: Membership, sandboxes: Sandboxes) -> None:
    """Without a registry the service starts all the same: what runs must be taken over."""
    try:
        await membership.join(sandboxes.all())
    except (NodeNameTaken, FleetUnsuitable) as error:
        refuse(str(error))
    except FleetUnavailable as error:
        log.warning("starting apart from the fleet", extra={"error": str(error)})


def _engine(settings: Settings) -> Engine:
    if settings.tiers == ("NAMESPACE",):
        return NamespaceEngine(settings.state_dir / "sandbox" / "namespace", settings.namespace_images)
    return DockerEngine(settings.engine, service_id(settings))


def service_id(settings: Settings) -> str:
    """Tells this service's containers from another's on the same engine: the same after a restart."""
    return hashlib.sha256(str(settings.state_dir.resolve()).encode()).hexdigest()[:16]


def _rules(settings: Settings) -> Rules:
    try:
        return settings.rules()
    except ValueError as error:
        refuse(str(error))


def _warm(settings: Settings, rules: Rules, profiles: Catalogue) -> dict[Shape, int]:
    try:
        return wanted(settings.warm, rules, profiles)
    except (ValueError, TierUnavailable) as error:
        refuse(f"STOCKADE_SANDBOX_WARM: {error}")


def _profiles(settings: Settings) -> Catalogue:
    try:
        return catalogue(yaml.safe_load(settings.profiles.read_text()))
    except (OSError, ValueError, KeyError, AttributeError, yaml.YAMLError) as error:
        refuse(f"the profiles in {settings.profiles} cannot be read: {error}; correct the file, or unset the setting")


def _registry(places: Places) -> SqliteRegistry:
    try:
        return SqliteRegistry(str(places.registry))
    except SchemaTooNew as error:
        refuse(f"{places.registry.parent}: {error}")
    except sqlite3.DatabaseError as error:
        refuse(f"{places.registry} is no registry of sandboxes ({error}); move it away and start again")
