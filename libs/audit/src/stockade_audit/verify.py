#!/usr/bin/env python3
"""Checks an export of Stockade's audit record, or a pack of evidence. One file, the standard library, nothing else.

    python3 verify.py EXPORT --key KEY --heads HEADS
    python3 verify.py PACK.zip --key KEY [--heads HEADS]

EXPORT  a JSON or NDJSON export: lines of type export, entry, opening, proof and end. An entry's line ends with the
        exact bytes that were hashed; everything between `"entry":` and the line's last brace. What is personal is
        sealed in it; an opening shows the values of one sealed part of the entry before it, and their salt.
KEY     the verifier key of the heads, `name+hash+base64`, or a file that holds it. Get it from somewhere else than
        the export.
HEADS   the witness's directory (heads-*.ndjson), or one such file: every head it keeps.

What is checked, in this order:
1. The witness's heads: each names the one before by its SHA-256, no journal shrinks, and the last is signed (Ed25519,
   RFC 8032; C2SP signed-note). By the names, one signature stands for all.
2. The export's head is one of them. (If it is newer than the last, its own signature is checked and it is reported.)
3. Each opening's SHA-256(salt, value) is the hash that stands in its entry. A part without an opening was erased, or
   cannot be read any more: it is counted.
4. Each journal's entries and proof give the root that the head states for it (RFC 6962 Merkle tree).

Of a pack: every file is the one of its manifest, both heads are the witness's (or signed by the key), each journal of
the second continues that of the first, and every entry shown is in the second's tree.

What cannot be: that an export with a filter left nothing out that the filter means. One without a filter is complete
when its positions run from 0 to the head's size, which is checked.

Exit status: 0 everything fits, 1 something does not, 2 the input cannot be read.
"""

import argparse
import base64
import hashlib
import itertools
import json
import re
import sys
import zipfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Ed25519 after RFC 8032 §5.1 and §6; points in extended homogeneous coordinates (X, Y, Z, T).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


class Wrong(Exception):
    """Something does not fit."""


Point = tuple[int, int, int, int]
Key = tuple[str, bytes, bytes]  # name, hint, public key


def point_add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_mul(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_equal(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point_decompress(data: bytes) -> Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_decompress(bytes([0x58] + [0x66] * 31)) or (0, 1, 1, 0)


def ed25519_verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    """RFC 8032 §5.1.7."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = point_decompress(key), point_decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return point_equal(point_mul(s, BASE), point_add(r, point_mul(k, a)))


# C2SP signed-note.


def parse_key(text: str) -> Key:
    """A verifier key's (name, hint, key)."""
    try:
        name, hint, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Wrong(f"not a verifier key: {text[:60]!r}") from None
    if hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] != hint or raw[:1] != b"\x01":
        raise Wrong(f"the verifier key of {name} is damaged")
    return name, bytes.fromhex(hint), raw[1:]


def key_text(key: Key) -> str:
    name, hint, public = key
    return f"{name}+{hint.hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def follow(key: Key, note: bytes) -> Key:
    """The key in force when the head was signed: each `rotation -` in it names the next, signed by the one before."""
    for line in note.decode().split("\n"):
        if line.startswith("rotation - "):
            _, _, following, signature = line.split(" ")
            text = f"stockade.dev/audit/rotation\n{key_text(key)}\n{following}\n".encode()
            if ed25519_verifies(key[2], base64.b64decode(signature), text):
                key = parse_key(following)
    return key


def check_signature(note: bytes, key: Key) -> None:
    """Raise unless the note (bytes) is signed by the key, or by one that took its place."""
    name, hint, public = follow(key, note)
    text, _, signatures = note.decode().rpartition("\n\n")
    for line in signatures.splitlines():
        if line.startswith(f"— {name} "):
            raw = base64.b64decode(line.rsplit(" ", 1)[1])
            if raw[:4] == hint and ed25519_verifies(public, raw[4:], text.encode() + b"\n"):
                return
    raise Wrong(f"the head is not signed by {name}")


# Heads.


class Head(NamedTuple):
    sequence: int
    time: str
    previous: str
    journals: dict[str, tuple[int, bytes]]  # slot: (size, root)


def parse_head(note: bytes) -> Head:
    lines = note.decode().rpartition("\n\n")[0].split("\n")
    journals = {}
    for line in lines[4:]:
        if line.startswith("rotation "):
            continue
        _, slot, size, root, _ = line.split(" ")
        journals[slot] = (int(size), base64.b64decode(root))
    return Head(int(lines[1]), lines[2], lines[3].split(" ")[1], journals)


def read_heads(path: Path, key: Key) -> list[bytes]:
    """The witness's notes, checked as a chain; the last one's head is signed."""
    files = sorted(path.glob("heads-*.ndjson")) if path.is_dir() else [path]
    notes = [json.loads(line)["note"].encode() for file in files for line in file.open("rb") if line.endswith(b"\n")]
    if not notes:
        raise Wrong(f"{path} holds no heads")
    for before, note in itertools.pairwise(notes):
        check_follows(before, note)
    check_signature(notes[-1], key)
    return notes


def check_follows(before: bytes, note: bytes) -> None:
    last, head = parse_head(before), parse_head(note)
    if head.sequence != last.sequence + 1 or head.previous != hashlib.sha256(before).hexdigest():
        raise Wrong(f"head {head.sequence} does not follow head {last.sequence}")
    for slot, (size, _) in last.journals.items():
        if slot not in head.journals or head.journals[slot][0] < size:
            raise Wrong(f"head {head.sequence} has less of the journal {slot} than the head before")


# The Merkle tree of RFC 6962 §2.1.


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(size: int, positions: Sequence[int], hashes: Sequence[bytes], proof: Iterator[bytes]) -> bytes:
    """The root from leaves at `positions` (ascending) with these hashes, and the nodes beside them, left to right."""
    if size == 0:
        return hashlib.sha256(b"").digest()

    def node(level: int, n: int) -> bytes:
        at = bisect_left(positions, n << level)
        if at == bisect_left(positions, (n + 1) << level):
            return next(proof)
        if level == 0:
            return hashes[at]
        return node_hash(node(level - 1, 2 * n), node(level - 1, 2 * n + 1))

    peaks: list[bytes] = []
    start = 0
    while start < size:
        level = (size - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        peaks.append(node(level, start >> level))
        start += 1 << level
    root = peaks.pop()
    while peaks:
        root = node_hash(peaks.pop(), root)
    return root


# The export.

ENTRY = re.compile(rb'\{"type":"entry","journal":"([a-z0-9._-]+)","position":(\d+),"entry":(.*)\}', re.DOTALL)


Entries = dict[str, tuple[list[int], list[bytes]]]  # slot: (positions, leaf hashes)
Line = dict[str, Any]


HASH = re.compile(rb'"hash":"([A-Za-z0-9+/]{43}=)"')


class Sealed(NamedTuple):
    """The entry whose openings may follow, the hashes of its sealed parts, and how many parts there were in all."""

    journal: str = ""
    position: int = -1
    hashes: Sequence[bytes] = ()
    parts: int = 0
    shown: int = 0

    def at(self, journal: str, position: int, entry: bytes) -> "Sealed":
        hashes = HASH.findall(entry.partition(b',"sealed":[')[2])
        return Sealed(journal, position, hashes, self.parts + len(hashes), self.shown)

    def open(self, line: Line) -> "Sealed":
        """Raise unless the opening is of this entry."""
        place = f"{line['journal']}: the values shown of entry {line['position']}"
        if (line["journal"], line["position"]) != (self.journal, self.position):
            raise Wrong(f"{place} do not stand behind it")
        digest = hashlib.sha256(bytes.fromhex(line["salt"]) + line["value"].encode()).digest()
        if digest != base64.b64decode(self.hashes[line["part"]]):
            raise Wrong(f"{place} are not those that were written")
        return self._replace(shown=self.shown + 1)


def read_export(lines: Iterable[bytes]) -> tuple[Line, Entries, list[Line], Line, Sealed]:
    """The first line, the entries, the proofs, the last line, and what was sealed."""
    first = end = None
    entries: Entries = {}
    proofs: list[Line] = []
    sealed = Sealed()
    for line in lines:
        line = line.strip().rstrip(b",")
        if line in (b"[", b"]", b""):
            continue
        if match := ENTRY.fullmatch(line):
            positions, hashes = entries.setdefault(match[1].decode(), ([], []))
            positions.append(int(match[2]))
            hashes.append(hashlib.sha256(b"\x00" + match[3]).digest())
            sealed = sealed.at(match[1].decode(), int(match[2]), match[3])
            continue
        value = json.loads(line)
        if value.get("type") == "export":
            first = value
        elif value.get("type") == "opening":
            sealed = sealed.open(value)
        elif value.get("type") == "proof":
            proofs.append(value)
        elif value.get("type") == "end":
            end = value
        else:
            raise Wrong(f"a line that is none of an export: {line[:60]!r}")
    if first is None or end is None:
        raise Wrong("the export is cut: its first or last line is missing")
    return first, entries, proofs, end, sealed


def check_journal(proof: Line, entries: Entries, state: tuple[int, bytes]) -> tuple[int, int]:
    """Raise unless the entries of one journal give the root that the head states."""
    slot = proof["journal"]
    size, root = state
    positions, hashes = entries.get(slot, ([], []))
    if proof["size"] != size or proof["entries"] != len(positions):
        raise Wrong(f"{slot}: {len(positions)} entries, but its proof speaks of {proof['entries']} of {proof['size']}")
    if any(b <= a for a, b in itertools.pairwise(positions)) or (positions and positions[-1] >= size):
        raise Wrong(f"{slot}: positions are out of order")
    beside = iter([base64.b64decode(h) for h in proof["hashes"]])
    try:
        found = tree_root(size, positions, hashes, beside)
    except StopIteration:
        raise Wrong(f"{slot}: the proof is too short") from None
    if found != root or next(beside, None) is not None:
        raise Wrong(f"{slot}: the entries are not those of the signed head")
    return len(positions), size


def check_export(lines: Iterable[bytes], note: bytes | None = None) -> Iterator[str]:
    """Check an export against its head, `note` if that is given; yields the head, then what was found."""
    first, entries, proofs, end, sealed = read_export(lines)
    if note is not None and first["head"].encode() != note:
        raise Wrong("it is pinned to another head")
    states = parse_head(first["head"].encode()).journals
    yield first["head"]
    if sorted(p["journal"] for p in proofs) != sorted(states) or not set(entries) <= set(states):
        raise Wrong("the export's journals are not those of its head")
    total = 0
    for proof in proofs:
        count, size = check_journal(proof, entries, states[proof["journal"]])
        total += count
        if not first["filter"] and count != size:
            raise Wrong(f"{proof['journal']}: {size - count} entries are missing from a whole export")
        yield f"{proof['journal']}: {count} of {size} entries, " + ("all" if count == size else "each in the tree")
    if end["entries"] != total:
        raise Wrong(f"{total} entries, but the export ends with {end['entries']}")
    if sealed.parts:
        left = sealed.parts - sealed.shown
        yield f"personal values: {sealed.shown} as written" + (f", {left} erased or without a key" if left else "")


def check_head(note: bytes, key: Key, notes: Sequence[bytes]) -> str:
    """Raise unless a head is one that the witness keeps, or newer and signed; says which."""
    head = parse_head(note)
    if note in notes:
        return f"head {head.sequence} of {head.time}: kept by the witness, {len(notes)} heads in one chain"
    if notes and head.sequence <= parse_head(notes[-1]).sequence:
        raise Wrong(f"head {head.sequence} is not the one that the witness keeps")
    check_signature(note, key)
    last = f"NOT YET kept by the witness (last: {parse_head(notes[-1]).sequence})" if notes else "no witness was asked"
    return f"head {head.sequence} of {head.time}: signed, but {last}"


def verify(export: Path, key: Key, heads: Path) -> Iterator[str]:
    """Check an export; yields lines that say what was found. Raises Wrong."""
    notes = read_heads(heads, key)
    with export.open("rb") as file:
        note, *found = check_export(file)
    yield check_head(note.encode(), key, notes)
    yield from found


# Packs of evidence.


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the new tree begins with the old one (RFC 9162 §2.1.4.2)."""
    if old in (0, new):
        return not proof and (old == 0 or old_root == new_root)
    if not 0 < old < new or not proof:
        return False
    path = [old_root, *proof] if old & old - 1 == 0 else proof
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def check_continuity(told: Line) -> None:
    """Raise unless each journal of the second head begins with what the first has of it."""
    after = parse_head(told["after"].encode()).journals
    before = parse_head(told["before"].encode()).journals if told["before"] else {}
    for slot, (size, root) in before.items():
        proof = [base64.b64decode(hashed) for hashed in told["proofs"][slot]]
        if slot not in after or not is_consistent(size, root, *after[slot], proof):
            raise Wrong(f"{slot}: the second head does not continue the first")


def verify_pack(path: Path, key: Key, heads: Path | None) -> Iterator[str]:
    """Check a pack of evidence; the heads of a witness too, if they are given."""
    notes = read_heads(heads, key) if heads else []
    with zipfile.ZipFile(path) as pack:
        manifest = json.loads(pack.read("manifest.json"))
        if sorted(pack.namelist()) != sorted([*manifest["files"], "manifest.json"]):
            raise Wrong("the files are not those of the manifest")
        for name, digest in manifest["files"].items():
            if hashlib.sha256(pack.read(name)).hexdigest() != digest:
                raise Wrong(f"{name} is not the file of the manifest")
        continuity = json.loads(pack.read("continuity.json"))
        for note in filter(None, (continuity["before"], continuity["after"])):
            yield check_head(note.encode(), key, notes)
        check_continuity(continuity)
        yield "contiguity: each journal goes on from the first head to the second"
        for name in sorted(name for name in manifest["files"] if name.endswith(".ndjson")):
            with pack.open(name) as lines:
                _, *found = check_export(lines, continuity["after"].encode())
            yield from (f"{name}: {line}" for line in found if ": 0 of " not in line)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an export of Stockade's audit record, or a pack of evidence.")
    parser.add_argument("export", type=Path, metavar="EXPORT")
    parser.add_argument("--key", required=True, help="the heads' verifier key, or a file that holds it")
    parser.add_argument("--heads", type=Path, help="the witness's directory or one of its files; for an export, a must")
    arguments = parser.parse_args()
    is_pack = zipfile.is_zipfile(arguments.export)
    if not is_pack and not arguments.heads:
        parser.error("an export is checked with the witness's --heads")
    sys.setrecursionlimit(10_000)
    try:
        text = Path(arguments.key).read_text() if Path(arguments.key).is_file() else arguments.key
        for line in (verify_pack if is_pack else verify)(arguments.export, parse_key(text), arguments.heads):
            print(line)
    except Wrong as wrong:
        print(f"NOT INTACT: {wrong}")
        return 1
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        print(f"cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print("INTACT")
    return 0


if __name__ == "__main__":
    sys.exit(main())
