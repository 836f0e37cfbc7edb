"""Every way to change what a head covers is found, and the first bad place named."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from stockade_audit.checkpoint import Checkpoint, sign_note
from stockade_audit.hashes import HashFile
from stockade_audit.head import NO_HEAD, Head, JournalHead
from stockade_audit.keys import SigningKey, VerifierKey
from stockade_audit.segment import Header, commits, decode_header, encode_commit, segment_path
from stockade_audit.tree import Frontier, leaf_hash
from stockade_audit.verification import Report, Verdict, verify_heads, verify_record

from support.journals import SLOT, write

BATCHES = [7, 1, 30, 2, 40] * 12  # 960 entries, several segments
Commits = list[list[bytes]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two journals, to be copied and harmed."""
    root = tmp_path_factory.mktemp("original")
    write(root, BATCHES)
    write(root, [5, 5], slot="other-0")
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "journals"))


def head_of(root: Path, sizes: dict[str, int], previous: Head | None = None) -> Head:
    """A head over the first entries of journals."""
    marks = {}
    for slot, size in sizes.items():
        hashes = [leaf_hash(leaf) for commit in read(root / slot) for leaf in commit]
        frontier = Frontier()
        for hashed in hashes[:size]:
            frontier.append(hashed)
        marks[slot] = JournalHead(size, frontier.root(), (root / slot / "signing.pub").read_text().strip())
    sequence, before = (previous.sequence + 1, previous.hash) if previous else (1, NO_HEAD)
    return Head(sequence, 1_795_510_539_000_000_000 + sequence, before, marks)


@pytest.fixture(scope="module")
def heads(original: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Head]:
    """Three heads; the last covers everything."""
    key = SigningKey.load_or_create(tmp_path_factory.mktemp("key") / "heads.key", "stockade.dev/audit/heads")
    found: list[Head] = []
    for sizes in ({SLOT: 100}, {SLOT: 500, "other-0": 5}, {SLOT: sum(BATCHES), "other-0": 10}):
        found.append(head_of(original, sizes, found[-1] if found else None).signed(key))
    return found


def check(root: Path, heads: list[Head], stored: Callable[[int], bytes | None] | None = None) -> dict[str, Report]:
    return {report.journal: report for report in verify_record(root, heads, lambda _: stored)}


def read(directory: Path) -> Commits:
    """The leaves of each commit."""
    found = []
    for path in sorted(directory.glob("*.seg")):
        data = path.read_bytes()
        begun = decode_header(data, path)
        found += [[leaf for _, leaf in commit.leaves] for commit in commits(data, begun[1] if begun else 0)]
    return found


def rewrite(directory: Path, changed: Commits, key: SigningKey | None) -> None:
    """Write the journal anew with frames, checksums and roots that fit, signed if the attacker has the key."""
    note = b""
    for path in sorted(directory.glob("*.seg")):
        path.unlink()
    frontier, body = Frontier(), [Header(directory.name, 0).encode()]
    for leaves in changed:
        for leaf in leaves:
            frontier.append(leaf_hash(leaf))
        if key is not None:
            note = sign_note(Checkpoint(key.verifier.name, frontier.size, frontier.root()).text, key)
        else:
            note = note or b"stockade\n1\nAAAA\n\n\xe2\x80\x94 stockade.dev/audit/test-0 AAAA\n"
        body.append(encode_commit(leaves, note))
    segment_path(directory, 0).write_bytes(b"".join(body))


def test_an_untouched_record_is_intact(root: Path, heads: list[Head]) -> None:
    reports = check(root, heads)
    assert {slot: (r.verdict, r.size) for slot, r in reports.items()} == {
        SLOT: (Verdict.INTACT, sum(BATCHES)),
        "other-0": (Verdict.INTACT, 10),
    }
    assert reports[SLOT].root == heads[-1].journals[SLOT].root


def test_it_is_intact_without_a_witness_too(root: Path) -> None:
    assert all(report.verdict is Verdict.INTACT for report in check(root, []).values())


def last_segment(directory: Path) -> Path:
    return sorted(directory.glob("*.seg"))[-1]


def cut_tail(directory: Path) -> None:
    """The last commit zeroed, as if it had never been."""
    path = last_segment(directory)
    data = path.read_bytes()
    begun = decode_header(data, path)
    assert begun
    last = list(commits(data, begun[1]))[-1]
    path.write_bytes(data[: last.offset] + bytes(len(data) - last.offset))


def edit_in_place(directory: Path) -> None:
    path = segment_path(directory, 0)
    path.write_bytes(path.read_bytes().replace(b"api.example", b"apx.example", 1))


def delete_segment(directory: Path) -> None:
    segment_path(directory, 1).unlink()


def delete_first_segment(directory: Path) -> None:
    segment_path(directory, 0).unlink()


def delete_last_segment(directory: Path) -> None:
    last_segment(directory).unlink()


def delete_journal(directory: Path) -> None:
    shutil.rmtree(directory)


def swap_segments(directory: Path) -> None:
    first, second = segment_path(directory, 0), segment_path(directory, 1)
    aside = directory / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def rechain_with_the_key(directory: Path) -> None:
    """Someone with the journal's key rewrites one entry and all that follows from it."""
    found = read(directory)
    found[9][3] = found[9][3].replace(b"ALLOWED", b"BLOCKED")
    rewrite(directory, found, SigningKey.load_or_create(directory / "signing.key", "stockade.dev/audit/test-0"))


def fork_from_an_old_copy(directory: Path) -> None:
    """An old copy is restored and continued."""
    found = read(directory)
    changed = [*found[:30], *([leaf.replace(b"example", b"another") for leaf in commit] for commit in found[30:])]
    rewrite(directory, changed, SigningKey.load_or_create(directory / "signing.key", "stockade.dev/audit/test-0"))


def new_key(directory: Path) -> None:
    found = read(directory)
    (directory / "signing.key").unlink()
    (directory / "signing.pub").unlink()
    rewrite(directory, found, SigningKey.load_or_create(directory / "signing.key", "stockade.dev/audit/test-0"))


@pytest.mark.parametrize(
    ("harm", "verdict", "position"),
    [
        (cut_tail, Verdict.TAIL_CUT, 920),
        (edit_in_place, Verdict.ENTRY_CHANGED, 0),
        (delete_segment, Verdict.SEGMENT_MISSING, None),
        (delete_first_segment, Verdict.SEGMENT_MISSING, 0),
        (delete_last_segment, Verdict.TAIL_CUT, None),
        (delete_journal, Verdict.JOURNAL_MISSING, 0),
        (swap_segments, Verdict.FORKED, 0),
        (rechain_with_the_key, Verdict.FORKED, 100),
        (fork_from_an_old_copy, Verdict.FORKED, 100),
        (new_key, Verdict.SIGNATURE_WRONG, None),
    ],
)
def test_a_known_attack_is_found(
    root: Path, heads: list[Head], harm: Callable[[Path], None], verdict: Verdict, position: int | None
) -> None:
    harm(root / SLOT)
    reports = check(root, heads)
    assert reports[SLOT].verdict is verdict, reports[SLOT]
    assert reports["other-0"].verdict is Verdict.INTACT
    assert position is None or reports[SLOT].position == position, reports[SLOT]


def test_the_stored_hashes_name_the_very_entry(root: Path, heads: list[Head], tmp_path: Path) -> None:
    hashes = HashFile(tmp_path / "h", 0)
    hashes.append([leaf_hash(leaf) for commit in read(root / SLOT) for leaf in commit])
    rechain_with_the_key(root / SLOT)
    at = sum(BATCHES[:9]) + 3
    report = check(root, heads, lambda position: hashes.node(0, position))[SLOT]
    assert (report.verdict, report.position) == (Verdict.ENTRY_CHANGED, at)
    hashes.close()


def mutations(random_: random.Random, found: Commits) -> Iterator[tuple[str, Commits]]:
    """One random change of each kind to what the commits hold."""
    flat = [(c, n) for c, commit in enumerate(found) for n in range(len(commit))]

    def copy() -> Commits:
        return [list(commit) for commit in found]

    c, n = random_.choice(flat)
    d, m = random_.choice(flat)
    leaf = orjson.loads(found[c][n])
    changed = copy()
    name = random_.choice(list(leaf))
    changed[c][n] = orjson.dumps({**leaf, name: f"{leaf[name]}!"}, option=orjson.OPT_SORT_KEYS)
    yield "edit", changed
    changed = copy()
    del changed[c][n]
    yield "delete", [commit for commit in changed if commit]
    if found[c][n] != found[d][m]:
        changed = copy()
        changed[c][n], changed[d][m] = changed[d][m], changed[c][n]
        yield "swap", changed
    changed = copy()
    changed[c].insert(n, found[d][m])
    yield "duplicate", changed
    changed = copy()
    changed[c].insert(n, orjson.dumps({**leaf, "id": "invented"}, option=orjson.OPT_SORT_KEYS))
    yield "insert", changed
    yield "truncate", [*copy()[:c], found[c][:n]] if n else copy()[:c]
    yield "delete all", []


def run_mutations(original: Path, heads: list[Head], work: Path, count: int) -> None:
    found = read(original / SLOT)
    stolen = SigningKey.load_or_create(original / SLOT / "signing.key", "stockade.dev/audit/test-0")
    stored = [leaf_hash(leaf) for commit in found for leaf in commit]
    random_ = random.Random(count)
    done = 0
    root = Path(shutil.copytree(original, work / "journals"))
    while done < count:
        for kind, changed in mutations(random_, found):
            key = stolen if random_.random() < 0.5 else None
            rewrite(root / SLOT, changed, key)
            report = check(root, heads, lambda position: stored[position] if position < len(stored) else None)[SLOT]
            assert report.verdict is not Verdict.INTACT, (kind, key is not None)
            if report.verdict is not Verdict.SIGNATURE_WRONG:  # that one is at the first commit not signed
                assert report.position == first_difference(found, changed), (kind, key is not None, report)
            done += 1


def first_difference(found: Commits, changed: Commits) -> int:
    """The first position at which the leaves differ."""
    old = [leaf for commit in found for leaf in commit]
    new = [leaf for commit in changed for leaf in commit]
    return next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def test_random_mutations_are_all_found(original: Path, heads: list[Head], tmp_path: Path) -> None:
    """A share of 200; `make test-long` runs ten thousand."""
    run_mutations(original, heads, tmp_path, 200)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_random_mutations_are_all_found(original: Path, heads: list[Head], tmp_path: Path) -> None:
    run_mutations(original, heads, tmp_path, 10_000)


def test_any_byte_changed_in_a_segment_is_found(root: Path, heads: list[Head]) -> None:
    random_ = random.Random(7)
    path = segment_path(root / SLOT, 0)
    data = path.read_bytes()
    end = len(data.rstrip(b"\0"))
    for _ in range(150):
        at = random_.randrange(end)
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << random_.randrange(8)]) + data[at + 1 :])
        assert check(root, heads)[SLOT].verdict is not Verdict.INTACT, at


def test_heads_that_do_not_follow_each_other_are_found(heads: list[Head], tmp_path: Path) -> None:
    key = SigningKey.load_or_create(tmp_path / "k.key", "stockade.dev/audit/heads")
    ours: list[Head] = []
    for head in heads:
        previous = ours[-1].hash if ours else NO_HEAD
        ours.append(Head(head.sequence, head.time_ns, previous, head.journals).signed(key))
    assert verify_heads(ours, key.verifier).verdict is Verdict.INTACT
    assert verify_heads([], key.verifier).verdict is Verdict.INTACT
    other = SigningKey.load_or_create(tmp_path / "o.key", "stockade.dev/audit/heads").verifier
    for bad in ([ours[0], ours[2]], [ours[1], ours[0]], ours[::-1]):
        assert verify_heads(bad, key.verifier).verdict is Verdict.HEADS_WRONG
    assert verify_heads(ours, other).verdict is Verdict.HEADS_WRONG
    assert VerifierKey.parse(str(other)) == other
