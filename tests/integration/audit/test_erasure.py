"""A subject is erased: by its id it is found nowhere any more, and the record still verifies."""

import asyncio
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import entry_pb2, retention_service_pb2_grpc
from stockade.audit.v1 import retention_service_pb2 as retention
from stockade_audit import Action, Entry, sealing
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.pseudonyms import pseudonyms
from stockade_audit.tombstones import Tombstone, Tombstones
from stockade_rpckit.errors import details_of

from integration.audit.test_daemon import export, run_verifier, verify
from support.auditd import Auditd, eventually
from support.journals import SLOT, entry, leaves, open_journal, write

SUBJECT = "forget-me-41f7"
OTHER = "keep-me-9c02"


def services(auditd: Auditd, place: str = "operators/ada") -> Any:
    return retention_service_pb2_grpc.RetentionServiceStub(auditd.channel(place))


def some(number: int) -> Entry:
    """An entry of the subject, or of another; now and then by an operator about the subject."""
    if number % 3 == 0:
        return entry(number, agent=OTHER, principal_kind="agent", principal=OTHER, resource="r")
    if number % 7 == 0:
        about = {"agent": SUBJECT, "principal_kind": "operator", "principal": "eve", "resource": SUBJECT}
        return entry(number, action=Action.SANDBOX_CREATED, metadata={"note": f"for {SUBJECT}"}, **about)
    return entry(number, agent=SUBJECT, principal_kind="agent", principal=SUBJECT, path=f"/home/{SUBJECT}")


@contextmanager
def running(auditd: Auditd, count: int, more: bool = False) -> Iterator[None]:
    """A process of the slot that has appended, holds its keys, and goes on about the other agent if told to."""
    ready, end = threading.Event(), threading.Event()

    async def work() -> None:
        journal = open_journal(auditd.journals)
        await journal.append_many([some(n) for n in range(count)])
        ready.set()
        while not end.is_set():
            if more:
                await journal.append_many([some(3 * n) for n in range(50)])
            await asyncio.sleep(0.02)
        journal.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        end.set()
        thread.join()


def send_span(auditd: Auditd) -> None:
    """A span such as a service makes for a call of the subject."""
    keys = SqliteKeyStore(auditd.base / "state" / "audit" / "keys")
    name = pseudonyms(keys.pseudonym_key())(SUBJECT)
    keys.close()
    request = otlp.ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="call", start_time_unix_nano=time.time_ns())
    )
    span.attributes.append(KeyValue(key="stockade.principal", value=AnyValue(string_value=f"agent:{name}")))
    otlp_grpc.TraceServiceStub(auditd.channel("services")).Export(request)


def holding(base: Path) -> list[str]:
    """The files that have the subject's id in them, in any place."""
    needle = SUBJECT.encode()
    return [str(p.relative_to(base)) for p in base.rglob("*") if p.is_file() and needle in p.read_bytes()]


def check_forgotten(auditd: Auditd, base: Path) -> None:
    """By its id the subject is nowhere; what is left of its entries says that it was erased; all of it verifies."""
    assert holding(base / "state") == []
    assert holding(base / "run") == []
    stub = auditd.entries()
    wanted = entry_pb2.EntryFilter(agents=[SUBJECT], services=["test"])
    assert not stub.ListEntries(audit.ListEntriesRequest(filter=wanted)).entries
    everything = entry_pb2.EntryFilter(services=["test"])
    oldest = audit.ListEntriesRequest(filter=everything, page_size=1000, order=audit.ENTRY_ORDER_OLDEST_FIRST)
    listed = stub.ListEntries(oldest).entries
    assert {e.agent for e in listed} == {"", OTHER}
    assert all(e.erased and not e.key_missing for e in listed if not e.agent)
    by_agent = audit.GetStatsRequest(group_by=[audit.STATS_DIMENSION_AGENT])
    assert SUBJECT not in {row.agent for row in stub.GetStats(by_agent).rows}
    for form in (audit.EXPORT_FORMAT_NDJSON, audit.EXPORT_FORMAT_CSV, audit.EXPORT_FORMAT_OCSF):
        assert SUBJECT.encode() not in export(auditd, form)
    with sqlite3.connect(base / "state" / "audit" / "spans.sqlite") as spans:
        assert spans.execute("SELECT COUNT(*) FROM spans WHERE attributes LIKE '%agent:~%'").fetchone() == (0,)
    assert {found[0] for found in verify(auditd).values()} == {"INTACT"}
    data = export(auditd, audit.EXPORT_FORMAT_NDJSON)
    eventually(lambda: "kept by the witness" in run_verifier(auditd, data, base).stdout)
    done = run_verifier(auditd, data, base)
    assert done.returncode == 0, done.stdout
    assert "erased or without a key" in done.stdout
    (base / "export").unlink(missing_ok=True)


def test_an_erased_subject_is_found_nowhere_and_the_record_verifies(auditd: Auditd, base: Path) -> None:
    with running(auditd, 90):
        auditd.until_indexed(SLOT, 90)
        send_span(auditd)
        request = retention.EraseSubjectRequest(subject=SUBJECT, justification="asked for")
        erased = services(auditd).EraseSubject(request)
        assert (erased.keys, erased.rows, list(erased.waiting_for)) == (2, 60, [])
        again = services(auditd).EraseSubject(request)
        assert (again.keys, again.rows) == (0, 0)
    check_forgotten(auditd, base)


@pytest.mark.parametrize("crash", ["before the keys", "before the index", "killed at any moment"])
def test_under_load_with_a_crash_in_between_and_a_backup_put_back(auditd: Auditd, base: Path, crash: str) -> None:
    state, backup = base / "state" / "audit", base / "backup"
    with running(auditd, 90, more=True):
        auditd.until_indexed(SLOT, 90)
        send_span(auditd)
        eventually(lambda: sqlite3.connect(state / "spans.sqlite").execute("SELECT 1 FROM spans").fetchall())
        backup.mkdir()
        for name in ("keys/keys.sqlite", "index/index.sqlite", "spans.sqlite", "holds.sqlite"):
            (backup / name).parent.mkdir(exist_ok=True)
            with sqlite3.connect(state / name) as found, sqlite3.connect(backup / name) as copy:
                found.backup(copy)
            copy.close()
        if crash == "killed at any moment":
            _killed_while_erasing(auditd)
        else:
            auditd.stop(signal.SIGKILL)
            _half_erased(state, destroy=crash == "before the index")
            auditd.start()
    eventually(lambda: holding(state) == [], within=20)
    check_forgotten(auditd, base)
    auditd.stop()
    for name in ("keys/keys.sqlite", "index/index.sqlite", "spans.sqlite", "holds.sqlite"):
        for path in state.glob(f"{name}*"):
            path.unlink()
        shutil.copy2(backup / name, state / name)
    shutil.rmtree(backup)
    assert holding(state)
    auditd.start()
    eventually(lambda: holding(state) == [], within=20)
    check_forgotten(auditd, base)


def _killed_while_erasing(auditd: Auditd) -> None:
    """Ask, kill in the midst of it, and ask again until it is answered."""
    request = retention.EraseSubjectRequest(subject=SUBJECT, justification="asked for")
    for pause in (0.002, 0.01, 0.03):
        call = services(auditd).EraseSubject.future(request)
        time.sleep(pause)
        auditd.stop(signal.SIGKILL)
        call.cancel()
        auditd.start()
    assert not services(auditd).EraseSubject(request).waiting_for


def _half_erased(state: Path, destroy: bool) -> None:
    """What a crash leaves: the tombstone, and perhaps the keys destroyed."""
    keys = SqliteKeyStore(state / "keys")
    numbers = frozenset(kept.number for kept in keys.kept(SUBJECT))
    name = pseudonyms(keys.pseudonym_key())(SUBJECT)
    Tombstones(state / "witness" / "tombstones.ndjson").add(Tombstone("ERASED", numbers, frozenset({name})))
    if destroy:
        keys.destroy(numbers)
    keys.close()


def test_a_hold_wins_over_erasure(auditd: Auditd) -> None:
    stub = services(auditd)
    with running(auditd, 30):
        placed = stub.CreateHold(
            retention.CreateHoldRequest(hold=retention.Hold(subject=SUBJECT, justification="case 7"), request_id="r-1")
        ).hold
        again = retention.CreateHoldRequest(
            hold=retention.Hold(subject=SUBJECT, justification="case 7"), request_id="r-1"
        )
        assert stub.CreateHold(again).hold.id == placed.id
        request = retention.EraseSubjectRequest(subject=SUBJECT, justification="asked for")
        with pytest.raises(grpc.RpcError) as refused:
            stub.EraseSubject(request)
        assert details_of(refused.value)["reason"] == "SUBJECT_HELD"
        assert [hold.id for hold in services(auditd, "auditors/eve").ListHolds(retention.ListHoldsRequest()).holds] == [
            placed.id
        ]
        stub.ReleaseHold(retention.ReleaseHoldRequest(id=placed.id, justification="closed"))
        assert not stub.ListHolds(retention.ListHoldsRequest()).holds
        assert stub.EraseSubject(request).keys == 2
    (left,) = stub.ListHolds(retention.ListHoldsRequest(show_released=True)).holds
    assert left.subject.startswith("~")


def test_a_lost_key_store_leaves_a_record_that_verifies_and_says_what_it_lacks(auditd: Auditd, base: Path) -> None:
    with running(auditd, 30):
        auditd.until_indexed(SLOT, 30)
    auditd.stop()
    store = base / "state" / "audit" / "keys"
    store.rename(base / "lost")
    shutil.rmtree(base / "state" / "audit" / "index")
    auditd.start()
    auditd.until_indexed(SLOT, 30)
    listed = auditd.entries().ListEntries(audit.ListEntriesRequest(filter=entry_pb2.EntryFilter(services=["test"])))
    assert all(e.key_missing and not e.erased and not e.agent for e in listed.entries)
    alerts = eventually(lambda: [e for e in leaves(auditd.journals / "audit-0") if e["action"] == "ALERT"])
    assert "restore the key store" in alerts[0]["metadata"]["detail"]
    assert {found[0] for found in verify(auditd).values()} == {"INTACT"}
    auditd.stop()
    shutil.rmtree(store)
    (base / "lost").rename(store)
    shutil.rmtree(base / "state" / "audit" / "index")
    auditd.start()
    auditd.until_indexed(SLOT, 30)
    wanted = entry_pb2.EntryFilter(agents=[SUBJECT])
    assert auditd.entries().ListEntries(audit.ListEntriesRequest(filter=wanted)).entries
    assert {found[0] for found in verify(auditd).values()} == {"INTACT"}


class January:
    """A clock whose months are all the first of this year."""

    monotonic, gmtime = staticmethod(time.monotonic), staticmethod(time.gmtime)

    @staticmethod
    def strftime(*_: Any) -> str:
        return "2026-01"


def test_a_month_past_its_retention_is_disposed_of_unless_it_is_held(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditd = Auditd(base, {"RETENTION": "decision=1"}).start()
    services(auditd).CreateHold(retention.CreateHoldRequest(hold=retention.Hold(subject=OTHER, justification="case 7")))
    monkeypatch.setattr(sealing, "time", January)
    write(auditd.journals, [6])
    with running(auditd, 30):
        pass
    monkeypatch.undo()
    auditd.until_indexed(SLOT, 36)
    assert auditd.stop() == 0
    auditd.start()
    disposed = eventually(lambda: [e for e in leaves(auditd.journals / "audit-0") if e["action"] == "DISPOSED"])
    told = {"class": "decision", "from": "2026-01", "to": "2026-01"}
    assert told.items() <= disposed[0]["metadata"].items()
    wanted = entry_pb2.EntryFilter(services=["test"], actions=[entry_pb2.ACTION_ALLOWED])
    request = audit.ListEntriesRequest(filter=wanted, page_size=1000)
    eventually(lambda: {e.agent for e in auditd.entries().ListEntries(request).entries} == {"", OTHER})
    assert {found[0] for found in verify(auditd).values()} == {"INTACT"}
    assert auditd.stop() == 0
