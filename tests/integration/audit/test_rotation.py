"""Keys are replaced: the old one signs the new one, and everything before and after it verifies."""

import signal
from dataclasses import replace

import grpc
import pytest
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade_audit.daemon.adapters.heads_sqlite import SqliteHeads
from stockade_audit.keys import SigningKey
from stockade_rpckit.errors import details_of

from integration.audit.test_daemon import export, run_verifier, verify
from integration.audit.test_erasure import running
from support.auditd import Auditd, eventually
from support.journals import SLOT, leaves, write


def rotate(auditd: Auditd, journal: str = "") -> str:
    return str(auditd.integrity().RotateKey(integrity.RotateKeyRequest(journal=journal)).key)


def check(auditd: Auditd) -> None:
    """The record verifies, and so does an export with the first key alone."""
    assert {found[0] for found in verify(auditd).values()} == {"INTACT"}
    data = export(auditd, audit.EXPORT_FORMAT_NDJSON)
    eventually(lambda: "kept by the witness" in run_verifier(auditd, data, auditd.base).stdout)
    done = run_verifier(auditd, data, auditd.base)
    assert done.returncode == 0, done.stdout


def test_the_heads_are_signed_with_another_key(auditd: Auditd) -> None:
    write(auditd.journals, [90])
    auditd.until_indexed(SLOT, 90)
    (first, *_) = auditd.integrity().ListKeys(integrity.ListKeysRequest()).keys
    second, third = rotate(auditd), rotate(auditd)
    assert len({first, second, third}) == 3
    write(auditd.journals, [9])
    auditd.until_indexed(SLOT, 99)
    check(auditd)
    assert auditd.stop() == 0
    auditd.start()
    assert list(auditd.integrity().ListKeys(integrity.ListKeysRequest()).keys[:2]) == [first, third]
    write(auditd.journals, [9])
    auditd.until_indexed(SLOT, 108)
    check(auditd)


def test_a_journal_is_signed_with_another_key(auditd: Auditd) -> None:
    with running(auditd, 90, more=True):
        auditd.until_indexed(SLOT, 90)
        old = (auditd.journals / SLOT / "signing.pub").read_text().strip()
        new = rotate(auditd, SLOT)
        assert new != old
    write(auditd.journals, [9])
    rotated = [leaf for leaf in leaves(auditd.journals / SLOT) if leaf["action"] == "KEY_ROTATED"]
    assert len(rotated) == 1
    eventually(lambda: new in b"".join(p.read_bytes() for p in auditd.witness.glob("heads-*")).decode())
    check(auditd)


def test_a_journal_nobody_writes_is_rotated_once_somebody_does(auditd: Auditd) -> None:
    write(auditd.journals, [9])
    auditd.until_indexed(SLOT, 9)
    with pytest.raises(grpc.RpcError) as refused:
        rotate(auditd, SLOT)
    assert details_of(refused.value)["reason"] == "KEY_NOT_ROTATED"
    write(auditd.journals, [9])
    assert [leaf["action"] for leaf in leaves(auditd.journals / SLOT)].count("KEY_ROTATED") == 1
    with pytest.raises(grpc.RpcError) as unknown:
        rotate(auditd, "nobody-0")
    assert details_of(unknown.value)["reason"] == "JOURNAL_NOT_FOUND"
    auditd.until_indexed(SLOT, 19)
    check(auditd)


@pytest.mark.parametrize("is_kept", [False, True], ids=["before its first head", "after its first head"])
def test_a_crash_while_the_heads_key_is_replaced_leaves_one_that_signs(auditd: Auditd, is_kept: bool) -> None:
    write(auditd.journals, [9])
    auditd.until_indexed(SLOT, 9)
    eventually(lambda: auditd.integrity().ListHeads(integrity.ListHeadsRequest(page_size=1)).heads)
    auditd.stop(signal.SIGKILL)
    state = auditd.base / "state" / "audit"
    heads = SqliteHeads(state / "heads.sqlite")
    last = heads.last()
    assert last is not None
    old = SigningKey.load(state / "heads.key", last.origin)
    new = SigningKey.create(state / "heads.key.next", last.origin)
    if is_kept:
        told = (old.hand_over(new.verifier),)
        heads.add(replace(last, sequence=last.sequence + 1, previous=last.hash, rotations=told).signed(new))
    heads.close()
    auditd.start()
    assert not (state / "heads.key.next").exists()
    write(auditd.journals, [9])
    auditd.until_indexed(SLOT, 18)
    check(auditd)
