"""What every witness does: it keeps heads, and takes a new one only when it continues the last."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.adapters.witness_grpc import GrpcWitness
from stockade_audit.daemon.adapters.witness_postgres import PostgresWitness
from stockade_audit.errors import AuditError
from stockade_audit.head import NO_HEAD, Head, HeadRefused, JournalHead, origin_of
from stockade_audit.keys import SigningKey, VerifierKey
from stockade_audit.tree import Frontier, consistency_proof, leaf_hash
from stockade_audit.witness import DirectoryWitness, MemoryWitness, Witness

from support import memory
from support.auditd import Auditd

Make = Callable[[VerifierKey], Witness]
LEAVES = [b"%d" % n for n in range(40)]


@pytest.fixture(params=["memory", "directory", "postgres", "daemon"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens the witness, again if it was opened before."""
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            kept = MemoryWitness()
            yield lambda _: kept
        elif request.param == "directory":
            yield lambda key: DirectoryWitness(tmp_path / "witness", key)
        elif request.param == "postgres":
            url = stack.enter_context(request.getfixturevalue("postgres").database())
            SCHEMA.migrate(url)
            yield lambda key: stack.enter_context(contextlib.closing(PostgresWitness(url, key)))
        else:
            target = request.getfixturevalue("another_daemon")
            yield lambda key: stack.enter_context(contextlib.closing(GrpcWitness(target, key)))


@pytest.fixture(scope="module")
def another_daemon() -> Iterator[str]:
    """Another machine's daemon; what leads to its services' socket."""
    with tempfile.TemporaryDirectory(prefix="wit-", dir=memory.place()) as directory:
        daemon = Auditd(Path(directory)).start()
        try:
            yield f"unix:{directory}/run/services/audit.sock"
        finally:
            daemon.stop()


_numbers = itertools.count()


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """The key of a machine that no other test is."""
    return SigningKey.load_or_create(tmp_path / "heads.key", origin_of(f"machine-{next(_numbers)}"))


def node(level: int, n: int, leaves: list[bytes] = LEAVES) -> bytes:
    return root(leaves[n << level : (n + 1) << level])


def root(leaves: list[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf))
    return frontier.root()


def head(key: SigningKey, previous: Head | None, leaves: dict[str, list[bytes]], journal_key: str = "k") -> Head:
    marks = {slot: JournalHead(len(found), root(found), journal_key) for slot, found in leaves.items()}
    sequence, before = (previous.sequence + 1, previous.hash) if previous else (1, NO_HEAD)
    return Head(sequence, 1_795_510_539_000_000_000 + sequence * 40_000_000_000_000, before, marks).signed(key)


def proofs(old: int, new: int) -> dict[str, list[bytes]]:
    return {"a-0": consistency_proof(node, old, new)}


def test_heads_that_continue_are_kept_in_order(make: Make, key: SigningKey) -> None:
    witness = make(key.verifier)
    assert witness.last() is None
    first = head(key, None, {"a-0": LEAVES[:10]})
    second = head(key, first, {"a-0": LEAVES[:25], "b-0": []})
    third = head(key, second, {"a-0": LEAVES, "b-0": [b"x"]})
    witness.add(first, {})
    witness.add(second, proofs(10, 25))
    witness = make(key.verifier)
    witness.add(third, {**proofs(25, 40), "b-0": []})
    last = witness.last()
    assert last is not None
    assert last.note == third.note
    assert [kept.note for kept in witness.heads()] == [first.note, second.note, third.note]


def test_a_head_it_has_is_taken_again(make: Make, key: SigningKey) -> None:
    witness = make(key.verifier)
    first = head(key, None, {"a-0": LEAVES[:10]})
    witness.add(first, {})
    witness.add(first, {})
    assert len(list(witness.heads())) == 1


CHANGED = [b"0", b"forged", *LEAVES[2:]]


@pytest.mark.parametrize(
    ("name", "leaves", "journal_key", "proof"),
    [
        ("a fork", {"a-0": CHANGED[:25]}, "k", proofs(10, 25)),
        ("no proof", {"a-0": LEAVES[:25]}, "k", {}),
        ("a wrong proof", {"a-0": LEAVES[:25]}, "k", proofs(10, 24)),
        ("a cut tail", {"a-0": LEAVES[:9]}, "k", {}),
        ("an old copy", {"a-0": CHANGED[:10]}, "k", {"a-0": []}),
        ("a missing journal", {"b-0": LEAVES[:25]}, "k", {}),
        ("another key", {"a-0": LEAVES[:25]}, "other", proofs(10, 25)),
    ],
)
def test_what_does_not_continue_is_refused(
    make: Make,
    key: SigningKey,
    name: str,
    leaves: dict[str, list[bytes]],
    journal_key: str,
    proof: dict[str, list[bytes]],
) -> None:
    witness = make(key.verifier)
    first = head(key, None, {"a-0": LEAVES[:10]})
    witness.add(first, {})
    with pytest.raises(HeadRefused) as refusal:
        witness.add(head(key, first, leaves, journal_key), proof)
    assert refusal.value.journal == "a-0" or "a-0" in str(refusal.value)
    assert [kept.note for kept in make(key.verifier).heads()] == [first.note]


def another(tmp_path: Path, name: str, of: SigningKey) -> SigningKey:
    return SigningKey.create(tmp_path / name, of.verifier.name)


def test_a_key_may_hand_over_to_another(make: Make, key: SigningKey, tmp_path: Path) -> None:
    witness, following = make(key.verifier), another(tmp_path, "next.key", key)
    old, new = (another(tmp_path, name, key) for name in ("old.key", "new.key"))
    first = head(key, None, {"a-0": LEAVES[:10]}, str(old.verifier))
    told = replace(
        head(key, first, {"a-0": LEAVES[:25]}, str(new.verifier)),
        rotations=(key.hand_over(following.verifier),),
        journal_rotations={"a-0": (old.hand_over(new.verifier),)},
    ).signed(following)
    witness.add(first, {})
    witness.add(told, proofs(10, 25))
    third = head(following, told, {"a-0": LEAVES[:25]}, str(new.verifier))
    with pytest.raises(AuditError):  # it no longer tells of the rotation, and the key it is signed with is unknown
        witness.add(third, {"a-0": []})
    third = replace(third, rotations=told.rotations).signed(following)
    witness = make(key.verifier)
    witness.add(third, {"a-0": []})
    assert [kept.note for kept in make(key.verifier).heads()] == [first.note, told.note, third.note]


def test_a_key_that_was_replaced_signs_no_more(make: Make, key: SigningKey, tmp_path: Path) -> None:
    witness, following = make(key.verifier), another(tmp_path, "next.key", key)
    first = head(key, None, {"a-0": LEAVES[:10]})
    told = replace(head(key, first, {"a-0": LEAVES[:10]}), rotations=(key.hand_over(following.verifier),))
    told = told.signed(following)
    witness.add(first, {})
    witness.add(told, {"a-0": []})
    thief = another(tmp_path, "thief.key", key)
    for rotations, signer in (((), key), ((key.hand_over(thief.verifier),), thief)):
        forged = replace(head(key, told, {"a-0": LEAVES[:10]}), rotations=rotations).signed(signer)
        with pytest.raises(HeadRefused):
            witness.add(forged, {"a-0": []})
    assert [kept.note for kept in make(key.verifier).heads()] == [first.note, told.note]


def test_a_journal_whose_key_nobody_handed_over_to_is_refused(make: Make, key: SigningKey, tmp_path: Path) -> None:
    witness = make(key.verifier)
    old, new, thief = (another(tmp_path, name, key) for name in ("old.key", "new.key", "thief.key"))
    first = head(key, None, {"a-0": LEAVES[:10]}, str(old.verifier))
    witness.add(first, {})
    forged = head(key, first, {"a-0": LEAVES[:10]}, str(new.verifier))
    forged = replace(forged, journal_rotations={"a-0": (thief.hand_over(new.verifier),)}).signed(key)
    with pytest.raises(HeadRefused):
        witness.add(forged, {"a-0": []})


def test_a_head_out_of_sequence_is_refused(make: Make, key: SigningKey) -> None:
    witness = make(key.verifier)
    first = head(key, None, {"a-0": LEAVES[:10]})
    second = head(key, first, {"a-0": LEAVES[:25]})
    other_first = head(key, None, {"a-0": LEAVES[:9]})
    witness.add(first, {})
    for bad in (head(key, second, {"a-0": LEAVES}), head(key, other_first, {"a-0": LEAVES[:25]}), other_first):
        with pytest.raises(HeadRefused):
            witness.add(bad, proofs(10, bad.journals["a-0"].size) if bad.journals["a-0"].size > 10 else {})


def test_a_directory_takes_no_head_of_another_key(tmp_path: Path, key: SigningKey) -> None:
    assert DirectoryWitness(tmp_path / "w", key.verifier).last() is None
    other = SigningKey.load_or_create(tmp_path / "other.key", key.verifier.name)
    witness = DirectoryWitness(tmp_path / "w", other.verifier)
    with pytest.raises(Exception, match="not signed"):
        witness.add(head(other, None, {"a-0": LEAVES[:1]}), {})


def test_a_line_torn_by_a_crash_is_dropped(tmp_path: Path, key: SigningKey) -> None:
    witness = DirectoryWitness(tmp_path / "w", key.verifier)
    first = head(key, None, {"a-0": LEAVES[:10]})
    witness.add(first, {})
    (path,) = (tmp_path / "w").glob("heads-*.ndjson")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    witness = DirectoryWitness(tmp_path / "w", key.verifier)
    second = Head(2, first.time_ns + 1, first.hash, first.journals).signed(key)
    witness.add(second, {"a-0": []})
    assert [kept.sequence for kept in DirectoryWitness(tmp_path / "w", key.verifier).heads()] == [1, 2]
