"""The daemon put together: the only module that names its adapters."""

import asyncio
from collections.abc import Awaitable, Callable

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from stockade.audit.v1 import (
    audit_service_pb2_grpc,
    finding_service_pb2_grpc,
    fleet_service_pb2_grpc,
    integrity_service_pb2_grpc,
    retention_service_pb2_grpc,
    trace_service_pb2_grpc,
)
from stockade_rpckit import threads
from stockade_rpckit.journals import open_journal
from stockade_rpckit.postgres import UrlRefused, is_url
from stockade_rpckit.server import Served, Wiring
from stockade_rpckit.settings import refuse

from stockade_audit.daemon.adapters.copy_postgres import PostgresCopy
from stockade_audit.daemon.adapters.fleet_postgres import PostgresFleet
from stockade_audit.daemon.adapters.heads_sqlite import SqliteHeads
from stockade_audit.daemon.adapters.holds_sqlite import SqliteHolds
from stockade_audit.daemon.adapters.index_sqlite import SqliteIndex
from stockade_audit.daemon.adapters.ledger_sqlite import SqliteLedger
from stockade_audit.daemon.adapters.spans_sqlite import SqliteSpans
from stockade_audit.daemon.adapters.witness_grpc import GrpcWitness
from stockade_audit.daemon.adapters.witness_postgres import PostgresWitness
from stockade_audit.daemon.background import (
    fold_claims,
    index_journals,
    keep_erased,
    prune_spans,
    retain,
    ship_journals,
    sign_fleet,
    sign_heads,
    watch_copy,
)
from stockade_audit.daemon.domain.claims import Claims
from stockade_audit.daemon.domain.retention import parse_retention
from stockade_audit.daemon.erasing import Eraser
from stockade_audit.daemon.findings import Findings
from stockade_audit.daemon.fleet_keeper import FleetKeeper
from stockade_audit.daemon.forwarding import Forwarder
from stockade_audit.daemon.gate_spans import serve_gate_spans
from stockade_audit.daemon.handlers.entries import AuditHandler
from stockade_audit.daemon.handlers.failures import FAILURES
from stockade_audit.daemon.handlers.findings import FindingHandler
from stockade_audit.daemon.handlers.fleet import FleetHandler
from stockade_audit.daemon.handlers.integrity import IntegrityHandler
from stockade_audit.daemon.handlers.retention import RetentionHandler, described
from stockade_audit.daemon.handlers.traces import SpanHandler, TraceHandler
from stockade_audit.daemon.handlers.witness import WitnessHandler
from stockade_audit.daemon.heading import HeadKeeper, finish_rotation
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.readings import readings
from stockade_audit.daemon.record import Record
from stockade_audit.daemon.replicated import Copies
from stockade_audit.daemon.settings import AuditSettings
from stockade_audit.daemon.shipping import Shipper
from stockade_audit.daemon.tailing import Tails
from stockade_audit.daemon.witnesses import Witnesses
from stockade_audit.errors import AuditError
from stockade_audit.fleet import ORIGIN as FLEET_ORIGIN
from stockade_audit.head import is_origin, origin_of
from stockade_audit.keys import SigningKey, VerifierKey
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.sealing import Opener
from stockade_audit.sqlite_schema import SchemaTooNew
from stockade_audit.tombstones import Tombstones
from stockade_audit.witness import DirectoryWitness, Witness


async def wire(settings: AuditSettings) -> Wiring:
    """Open everything under state_dir/audit, or end the process with one line that says why that cannot be."""
    try:
        return await _wire(settings)
    except (AuditError, UrlRefused, OSError) as error:
        refuse(str(error))
    except SchemaTooNew as error:
        refuse(f"{settings.directory}: {error}")


async def _wire(settings: AuditSettings) -> Wiring:
    if not is_origin(origin := origin_of(settings.node)):
        refuse(f"the node {settings.node!r} is no name: use lower-case letters, digits, dots and dashes, at most 63")
    journal = open_journal(settings, "audit")
    key_path = settings.directory / "heads.key"
    index = SqliteIndex(settings.directory / "index" / "index.sqlite")
    heads = SqliteHeads(settings.directory / "heads.sqlite")
    finish_rotation(key_path, heads)
    key = SigningKey.load_or_create(key_path, origin)
    first_key = VerifierKey.parse(key_path.with_suffix(".pub").read_text())
    spans = SqliteSpans(settings.directory / "spans.sqlite")
    keys = SqliteKeyStore(settings.directory / "keys")
    tombstones, holds = Tombstones(settings.tombstones_file), SqliteHolds(settings.directory / "holds.sqlite")
    opener = Opener(keys, tombstones)
    indexer = await threads.run(Indexer, settings.journals, index, settings.directory / "index", opener)
    eraser = Eraser(settings.journals, keys, tombstones, indexer, spans, holds, journal.pseudonym)
    resumed = await threads.run(eraser.resume)
    keep_time = parse_retention(settings.retention)
    witness = _witness(settings, first_key)
    keeper = HeadKeeper(indexer, heads, witness, key)
    copy = PostgresCopy(settings.ship_to, settings.node) if settings.ship_to else None
    shipper = Shipper(settings.journals, indexer, copy) if copy else None
    record = Record(settings.journals, index, indexer, heads, keeper, witness, first_key, shipper)
    findings = Findings(record, journal)
    tails, claims, forwarder = Tails(), Claims(), Forwarder(settings.otlp_endpoint)
    spans_in = SpanHandler(spans, forwarder, eraser.names)
    came, indexed = asyncio.Event(), asyncio.Event()
    copies = Copies(came)
    fleet = _fleet(settings)

    async def drain() -> None:
        await forwarder.drain(1.0)
        for part in (shipper, fleet, witness, indexer, index, heads, spans, holds, keys):
            if part is not None:
                part.close()

    return Wiring(
        [
            Served(
                "stockade.audit.v1.AuditService",
                audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
                AuditHandler(record, tails, journal, f"audit-{settings.slot}", claims),
            ),
            Served(
                "stockade.audit.v1.IntegrityService",
                integrity_service_pb2_grpc.add_IntegrityServiceServicer_to_server,
                IntegrityHandler(record, findings, key_path),
            ),
            Served(
                "stockade.audit.v1.WitnessService",
                integrity_service_pb2_grpc.add_WitnessServiceServicer_to_server,
                WitnessHandler(Witnesses(settings.directory / "witnessed"), findings),
            ),
            Served(
                "stockade.audit.v1.FindingService",
                finding_service_pb2_grpc.add_FindingServiceServicer_to_server,
                FindingHandler(findings),
            ),
            Served(
                "stockade.audit.v1.FleetService",
                fleet_service_pb2_grpc.add_FleetServiceServicer_to_server,
                FleetHandler(fleet),
            ),
            Served(
                "stockade.audit.v1.RetentionService",
                retention_service_pb2_grpc.add_RetentionServiceServicer_to_server,
                RetentionHandler(eraser),
                described(journal.pseudonym),
            ),
            Served(
                "stockade.audit.v1.TraceService",
                trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
                TraceHandler(spans, eraser.names),
            ),
            Served(
                "opentelemetry.proto.collector.trace.v1.TraceService",
                otlp_grpc.add_TraceServiceServicer_to_server,
                spans_in,
            ),
        ],
        journal,
        FAILURES,
        [
            lambda: index_journals(indexer, tails, findings, came, indexed),
            lambda: sign_heads(keeper, findings),
            lambda: prune_spans(spans, settings.span_days, settings.span_limit),
            lambda: fold_claims(claims, journal),
            lambda: keep_erased(eraser, journal, resumed),
            lambda: retain(eraser, keep_time, journal),
            spans_in.store,
            lambda: serve_gate_spans(settings.run_dir, spans_in),
            forwarder.run,
            *([] if fleet is None else [lambda: sign_fleet(fleet, findings)]),
            *([] if shipper is None else _shipping(shipper, copies, indexed, findings, settings)),
        ],
        drain,
        readings=readings(record, forwarder),
    )


def _witness(settings: AuditSettings, key: VerifierKey) -> Witness:
    """Who keeps the heads."""
    if is_url(settings.witness):
        return PostgresWitness(settings.witness, key)
    if settings.witness.startswith("unix:"):
        return GrpcWitness(settings.witness, key)
    return DirectoryWitness(settings.witness_directory, key)


def _fleet(settings: AuditSettings) -> FleetKeeper | None:
    """Who signs the fleet's head, where that is this daemon."""
    if not settings.fleet:
        return None
    key = SigningKey.load_or_create(settings.directory / "fleet.key", FLEET_ORIGIN)
    return FleetKeeper(PostgresFleet(settings.fleet), SqliteLedger(settings.directory / "fleet.sqlite"), key)


def _shipping(
    shipper: Shipper, copies: Copies, indexed: asyncio.Event, findings: Findings, settings: AuditSettings
) -> list[Callable[[], Awaitable[None]]]:
    """What runs where there is a copy."""
    return [
        lambda: ship_journals(shipper, copies.tell, indexed),
        lambda: watch_copy(shipper, findings),
        lambda: copies.serve(settings.run_dir),
    ]
