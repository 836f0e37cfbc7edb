"""Whether every node's copied log is what its heads say, and the fleet's head what was signed over them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from stockade_audit.daemon.domain.copy import CopiedEntry, copied_entry
from stockade_audit.daemon.fleet_keeper import FleetKeeper, Standing, node_of
from stockade_audit.errors import AuditError
from stockade_audit.fleet import FleetHead, Member, root_of
from stockade_audit.head import NO_HEAD, Head, JournalHead
from stockade_audit.keys import VerifierKey
from stockade_audit.tree import EMPTY_ROOT, Frontier
from stockade_audit.verification import Report, Verdict, verify_heads


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What was found of one node's journal, of its heads (the report's journal is empty), or of the fleet's own heads
    (the node is None)."""

    node: str | None
    report: Report


def verify_fleet(keeper: FleetKeeper) -> Iterator[NodeReport]:
    """The fleet's heads, then each member's heads and journals, then what no member's head speaks of."""
    standing = keeper.standing()
    problem = _history_problem(keeper.fleet.history(), standing.last) or _leaves_problem(standing)
    sequence = standing.last.sequence if standing.last else 0
    verdict = Verdict.HEADS_WRONG if problem else Verdict.INTACT
    yield NodeReport(None, Report("", verdict, sequence, root_of(standing.members.values()), 0, problem))
    for member in standing.members.values():
        for report in _member_reports(keeper, member):
            yield NodeReport(node_of(member.origin), report)
    yield from _strangers(keeper, standing.members)


def _history_problem(heads: Iterable[FleetHead], last: FleetHead | None) -> str:
    """What is wrong with the database's heads of the fleet: they lead, each naming the one before, to our last."""
    sequence, newest = 0, NO_HEAD
    for head in heads:
        if (head.sequence, head.previous) != (sequence + 1, newest):
            return f"head {head.sequence} of the fleet does not follow head {sequence}"
        sequence, newest = head.sequence, head.hash
        if last is not None and sequence == last.sequence and newest != last.hash:
            return f"head {sequence} of the fleet is not the one that was signed"
    if last is not None and sequence < last.sequence:
        return (
            f"head {last.sequence} of the fleet was signed, the database's last is {sequence}: an old one was put back"
        )
    return ""


def _leaves_problem(standing: Standing) -> str:
    """Which members the database has otherwise than its signer."""
    expected = {origin: member.leaf for origin, member in standing.members.items()}
    differing = dict(expected.items() ^ standing.leaves.items())
    if differing:
        nodes = ", ".join(sorted(map(node_of, differing)))
        return f"the fleet's head does not count these nodes as the database has them: {nodes}"
    if standing.last is not None and root_of(standing.members.values()) != standing.last.root:
        return "the members known here do not have the root that was signed: restore the ledger, fleet.sqlite"
    return ""


def _member_reports(keeper: FleetKeeper, member: Member) -> Iterator[Report]:
    heads = [head for head in keeper.fleet.heads(member.origin, 0) if head.sequence <= member.sequence]
    node = node_of(member.origin)
    yield _heads_report(heads, member, keeper.wrong.get(node, ""))
    marks: dict[str, dict[tuple[int, bytes], JournalHead]] = {}
    for head in heads:
        for slot, mark in head.journals.items():
            marks.setdefault(slot, {})[mark.size, mark.root] = mark
    for slot, found in sorted(marks.items()):
        yield check_copied(slot, keeper.fleet.contents(node, slot), [found[key] for key in sorted(found)])


def _heads_report(heads: list[Head], member: Member, wrong: str) -> Report:
    counted = f"{member.sequence} heads are counted"
    if not heads:
        return Report("", Verdict.JOURNAL_MISSING, 0, EMPTY_ROOT, 0, f"the node was removed: {counted}, none is left")
    last = heads[-1]
    problem = verify_heads(heads, VerifierKey.parse(member.key)).detail
    if (last.sequence, last.hash) != (member.sequence, member.hash):
        problem = problem or f"{counted}, and the last one there is another"
    problem = problem or wrong
    verdict = Verdict.HEADS_WRONG if problem else Verdict.INTACT
    return Report("", verdict, last.sequence, EMPTY_ROOT, 0, problem or ("retired" if member.retired else ""))


def check_copied(slot: str, contents: Iterable[CopiedEntry], marks: list[JournalHead]) -> Report:
    """Hold the copy of one journal to what a node's heads say of it, smallest first: every entry, to the last mark."""
    tree, last, pending = Frontier(), marks[-1].size, [mark for mark in marks if mark.size]
    seen = 0
    for entry in contents:
        if tree.size == last:
            break
        if entry.position != tree.size:
            return _wrong(slot, Verdict.COPY_WRONG, tree, f"{_gap(tree.size, entry.position)} not there")
        if not _fits(entry):
            return _wrong(slot, Verdict.ENTRY_CHANGED, tree, "its columns or its hash are not those of its leaf")
        tree.append(entry.hash)
        while pending and tree.size == pending[0].size:
            if tree.root() != pending[0].root:
                return _forked(slot, tree, seen)
            seen = pending.pop(0).size
    if tree.size < last:
        return _wrong(slot, Verdict.TAIL_CUT, tree, f"{last - tree.size} entries that a head covers are not there")
    return Report(slot, Verdict.INTACT, tree.size, tree.root())


def _fits(entry: CopiedEntry) -> bool:
    with suppress(ValueError, KeyError, AuditError):
        return copied_entry(entry.position, entry.leaf) == entry
    return False


def _gap(first: int, end: int) -> str:
    return f"entry {first} is" if end == first + 1 else f"entries {first} to {end - 1} are"


def _forked(slot: str, tree: Frontier, first: int) -> Report:
    told = f"one of the entries {first} to {tree.size - 1} is not what was signed"
    return Report(slot, Verdict.ENTRY_CHANGED, tree.size, tree.root(), first, told)


def _wrong(slot: str, verdict: Verdict, tree: Frontier, detail: str) -> Report:
    return Report(slot, verdict, tree.size, tree.root(), tree.size, detail)


def _strangers(keeper: FleetKeeper, members: Mapping[str, Member]) -> Iterator[NodeReport]:
    """Nodes that are no members: one whose heads are not believed, or that has entries and no head."""
    known = {node_of(origin) for origin in members}
    signing = {node_of(origin) for origin in keeper.fleet.witness_keys()}
    for node in sorted((keeper.fleet.nodes() | keeper.wrong.keys()) - known):
        problem = keeper.wrong.get(node, "") or ("" if node in signing else "it has entries, and no head of it is kept")
        verdict = Verdict.HEADS_WRONG if problem else Verdict.INTACT
        yield NodeReport(node, Report("", verdict, 0, EMPTY_ROOT, 0, problem or "joined; not counted yet"))
