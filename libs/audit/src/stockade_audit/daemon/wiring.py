"""The daemon put together: the only module that names its adapters."""

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from stockade.audit.v1 import (
    audit_service_pb2_grpc,
    finding_service_pb2_grpc,
    integrity_service_pb2_grpc,
    retention_service_pb2_grpc,
    trace_service_pb2_grpc,
)
from stockade_rpckit import threads
from stockade_rpckit.server import Served, Wiring
from stockade_rpckit.settings import refuse

from stockade_audit import Journal
from stockade_audit.daemon.adapters.heads_sqlite import SqliteHeads
from stockade_audit.daemon.adapters.holds_sqlite import SqliteHolds
from stockade_audit.daemon.adapters.index_sqlite import SqliteIndex
from stockade_audit.daemon.adapters.spans_sqlite import SqliteSpans
from stockade_audit.daemon.background import (
    fold_claims,
    index_journals,
    keep_erased,
    prune_spans,
    retain,
    sign_heads,
)
from stockade_audit.daemon.domain.claims import Claims
from stockade_audit.daemon.domain.retention import parse_retention
from stockade_audit.daemon.erasing import Eraser
from stockade_audit.daemon.findings import Findings
from stockade_audit.daemon.forwarding import Forwarder
from stockade_audit.daemon.gate_spans import serve_gate_spans
from stockade_audit.daemon.handlers.entries import AuditHandler
from stockade_audit.daemon.handlers.failures import FAILURES
from stockade_audit.daemon.handlers.findings import FindingHandler
from stockade_audit.daemon.handlers.integrity import IntegrityHandler
from stockade_audit.daemon.handlers.retention import RetentionHandler, described
from stockade_audit.daemon.handlers.traces import SpanHandler, TraceHandler
from stockade_audit.daemon.heading import HeadKeeper
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.record import Record
from stockade_audit.daemon.settings import AuditSettings
from stockade_audit.daemon.tailing import Tails
from stockade_audit.errors import AuditError
from stockade_audit.head import ORIGIN
from stockade_audit.keys import SigningKey
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.sealing import Opener
from stockade_audit.tombstones import Tombstones
from stockade_audit.witness import DirectoryWitness


async def wire(settings: AuditSettings) -> Wiring:
    """Open everything under state_dir/audit, or end the process with one line that says why that cannot be."""
    try:
        return await _wire(settings)
    except (AuditError, OSError) as error:
        refuse(str(error))


async def _wire(settings: AuditSettings) -> Wiring:
    slot = f"audit-{settings.slot}"
    journal = Journal.open(settings.journals, service="audit", slot=slot)
    key = SigningKey.load_or_create(settings.directory / "heads.key", ORIGIN)
    index = SqliteIndex(settings.directory / "index" / "index.sqlite")
    heads = SqliteHeads(settings.directory / "heads.sqlite")
    spans = SqliteSpans(settings.directory / "spans.sqlite")
    keys = SqliteKeyStore(settings.directory / "keys")
    tombstones, holds = Tombstones(settings.tombstones_file), SqliteHolds(settings.directory / "holds.sqlite")
    opener = Opener(keys, tombstones)
    indexer = await threads.run(Indexer, settings.journals, index, settings.directory / "index", opener)
    eraser = Eraser(settings.journals, keys, tombstones, indexer, spans, holds, journal.pseudonym)
    keep_time = parse_retention(settings.retention)
    witness = DirectoryWitness(settings.witness_directory, key.verifier)
    keeper = HeadKeeper(indexer, heads, witness, key)
    record = Record(settings.journals, index, indexer, heads, keeper, witness, key.verifier)
    findings = Findings(record, journal)
    tails, claims, forwarder = Tails(), Claims(), Forwarder(settings.otlp_endpoint)
    spans_in = SpanHandler(spans, forwarder)

    async def drain() -> None:
        await forwarder.drain(1.0)
        for part in (indexer, index, heads, spans, holds, keys):
            part.close()

    return Wiring(
        [
            Served(
                "stockade.audit.v1.AuditService",
                audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
                AuditHandler(record, tails, journal, slot, claims),
            ),
            Served(
                "stockade.audit.v1.IntegrityService",
                integrity_service_pb2_grpc.add_IntegrityServiceServicer_to_server,
                IntegrityHandler(record),
            ),
            Served(
                "stockade.audit.v1.FindingService",
                finding_service_pb2_grpc.add_FindingServiceServicer_to_server,
                FindingHandler(findings),
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
            lambda: index_journals(indexer, tails, findings),
            lambda: sign_heads(keeper, findings),
            lambda: prune_spans(spans, settings.span_days, settings.span_limit),
            lambda: fold_claims(claims, journal),
            lambda: keep_erased(eraser, journal),
            lambda: retain(eraser, keep_time, journal),
            spans_in.store,
            lambda: serve_gate_spans(settings.run_dir, spans_in),
            forwarder.run,
        ],
        drain,
    )
