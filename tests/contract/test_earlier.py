"""Today's programs read whole what those of an earlier commit left, and go on from it."""

import sqlite3
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from stockade_audit import Journal
from stockade_audit.daemon.adapters.heads_sqlite import SqliteHeads
from stockade_audit.daemon.adapters.holds_sqlite import SqliteHolds
from stockade_audit.head import origin_of
from stockade_audit.keys import SigningKey, VerifierKey
from stockade_audit.verification import Verdict, verify_heads, verify_record
from stockade_embedding_cache.adapters.sqlite.store import SqliteStore
from stockade_network_policy.adapters.messages_sqlite import SqliteMessageLimits
from stockade_network_policy.adapters.policies_sqlite import SqlitePolicies
from stockade_network_policy.domain.policy import Change
from stockade_network_policy.domain.ports import Write
from stockade_sandbox.adapters.registry_sqlite import SqliteRegistry

from support import earlier
from support.journals import leaves

STATE = Path(__file__).parent / "earlier" / "state.tar.gz"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy of what was left."""
    with tarfile.open(STATE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


async def test_sandboxes_are_as_they_were(state: Path) -> None:
    registry = SqliteRegistry(str(state / "registry.sqlite"))
    assert await registry.all() == [earlier.SANDBOX]
    assert await registry.request("operator/ada", "r-1") == ("digest", earlier.SANDBOX.name)
    await registry.put(replace(earlier.SANDBOX, revision=8))
    found = await registry.get(earlier.SANDBOX.name)
    assert found is not None
    assert found.revision == 8
    registry.close()


def test_policies_have_their_history(state: Path) -> None:
    policies = SqlitePolicies(state / "policies.sqlite")
    (current,) = policies.policies()
    assert (current.allowed_domains, current.version, current.changed_by) == (
        earlier.POLICY.allowed_domains,
        2,
        "operator/ada",
    )
    first, second = reversed(policies.versions("test-generator", below=1 << 31, limit=10))
    assert (first.change, first.policy.limits) == (Change.CREATED, earlier.POLICY.limits)
    assert (second.change, second.policy.limits.burst_size) == (Change.UPDATED, 5)
    assert policies.find_request("CREATED") == first
    write = Write(policy=earlier.POLICY, change=Change.UPDATED, etag=current.etag)
    assert policies.write([write], by="operator/ada", now_ns=1)[0].version == 3
    policies.close()


def test_limits_of_messages_hold(state: Path) -> None:
    messages = SqliteMessageLimits(state / "policies.sqlite")
    assert messages.all() == [earlier.MESSAGES]
    messages.close()


async def test_vectors_are_hits(state: Path) -> None:
    vectors = SqliteStore(
        state / "vectors.sqlite", total=earlier.AMPLE, quota=earlier.AMPLE, clock=lambda: earlier.NOW_NS / 1e9
    )
    assert list((await vectors.get(earlier.LAYER, [earlier.KEY])).entries) == [earlier.VECTOR]
    await vectors.close()


def test_heads_are_continued(state: Path) -> None:
    heads, key = SqliteHeads(state / "heads.sqlite"), SigningKey.load(state / "heads.key", origin_of(""))
    last = heads.last()
    assert last is not None
    heads.add(earlier.head(key, last))
    found = [head for head, _ in heads.page(10)]
    public = VerifierKey.parse((state / "heads.pub").read_text())
    assert verify_heads(found[::-1], public).verdict is Verdict.INTACT
    heads.close()


def test_holds_hold(state: Path) -> None:
    holds = SqliteHolds(state / "holds.sqlite")
    assert holds.all() == [earlier.HOLD]
    holds.close()


async def test_a_journal_is_read_verified_and_continued(state: Path) -> None:
    assert allowed(state) == [("ana", f"/{number}") for number in range(20)]
    journal = Journal.open(state / "journals", service="test", slot=earlier.SLOT, segment_bytes=1 << 14)
    await journal.append(earlier.entry(20))
    journal.close()
    (report,) = verify_record(state / "journals", [], lambda _: None)
    assert (report.verdict, report.detail) == (Verdict.INTACT, "")
    assert allowed(state)[-1] == ("ana", "/20")


def allowed(state: Path) -> list[tuple[str, str]]:
    """Whose entries there are, and about what: both are sealed, under keys that were left as well."""
    found = leaves(state / "journals" / earlier.SLOT)
    return [(leaf["agent"], leaf["path"]) for leaf in found if leaf["action"] == "ALLOWED"]


def test_the_state_is_of_before_there_were_versions(state: Path) -> None:
    """Else these tests would read what today's programs have written."""
    connection = sqlite3.connect(state / "heads.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()
