"""Every store of policies passes the same suite."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from stockade_network_policy.adapters.policies_memory import MemoryPolicies
from stockade_network_policy.adapters.policies_postgres import PostgresPolicies
from stockade_network_policy.adapters.policies_sqlite import SqlitePolicies
from stockade_network_policy.adapters.postgres import SCHEMA, open_database
from stockade_network_policy.domain.errors import EtagMismatch, PolicyExists, PolicyNotFound, PolicyRequired
from stockade_network_policy.domain.policy import Change, Limits, Mode, Policy
from stockade_network_policy.domain.ports import PolicyStore, Write

from support.postgres import PostgresServer

LIMITS = Limits(
    requests_per_minute=1, requests_per_hour=2, burst_size=3, max_tunnels=4, bytes_per_hour=5, tunnel_lifetime_s=6
)
POLICY = Policy(agent_type="tester", allowed_domains=("*.b.com", "a.com"), limits=LIMITS)


Open = Callable[[], PolicyStore]


@contextmanager
def opener(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """What opens a store of this kind, again for each process that would share it."""
    if kind == "memory":
        kept = MemoryPolicies()
        yield lambda: kept
    elif kind == "sqlite":
        yield lambda: SqlitePolicies(tmp_path / "p.sqlite")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.database() as url:
            SCHEMA.migrate(url)
            yield lambda: PostgresPolicies(open_database(url))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PolicyStore]:
    with opener(request.param, request, tmp_path) as open_:
        opened = open_()
        yield opened
        opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[PolicyStore]]:
    """The same store as three processes have it open."""
    with opener(request.param, request, tmp_path) as open_:
        opened = [open_() for _ in range(3)]
        yield opened
        for each in opened:
            each.close()


def write(store: PolicyStore, policy: Policy, change: Change = Change.UPDATED, **fields: str) -> Policy:
    (stored,) = store.write([Write(policy=policy, change=change, **fields)], by="operator:ana", now_ns=7)
    return stored


def test_what_was_written_is_read_back(store: PolicyStore) -> None:
    wanted = replace(POLICY, allowed_ports=(8443,), audit_logging=False, block_unknown_domains=False, mode=Mode.REPORT)
    stored = write(store, wanted, Change.CREATED)
    assert stored == replace(wanted, version=1, changed_by="operator:ana", update_time_ns=7)
    assert store.policies() == [stored]


def test_versions_stay_newest_first(store: PolicyStore) -> None:
    write(store, POLICY, Change.CREATED)
    write(store, replace(POLICY, allowed_domains=("c.com",)))
    write(store, POLICY, Change.DELETED)
    write(store, POLICY, Change.CREATED)
    versions = store.versions("tester", below=1 << 62, limit=10)
    assert [(v.policy.version, v.change) for v in versions] == [
        (4, Change.CREATED), (3, Change.DELETED), (2, Change.UPDATED), (1, Change.CREATED),
    ]  # fmt: skip
    assert [v.policy.version for v in store.versions("tester", below=3, limit=1)] == [2]
    assert store.versions("stranger", below=9, limit=9) == []


def test_a_deleted_policy_is_gone(store: PolicyStore) -> None:
    write(store, POLICY, Change.CREATED)
    write(store, POLICY, Change.DELETED)
    assert store.policies() == []
    with pytest.raises(PolicyNotFound):
        write(store, POLICY)


def test_an_etag_that_lost_the_race(store: PolicyStore) -> None:
    first = write(store, POLICY, Change.CREATED)
    write(store, POLICY, etag=first.etag)
    with pytest.raises(EtagMismatch) as refusal:
        write(store, POLICY, etag=first.etag)
    assert refusal.value.current == "W/2"


def test_one_policy_a_type(store: PolicyStore) -> None:
    write(store, POLICY, Change.CREATED)
    with pytest.raises(PolicyExists):
        write(store, POLICY, Change.CREATED)


def test_default_stays(store: PolicyStore) -> None:
    default = replace(POLICY, agent_type="default")
    write(store, default, Change.CREATED)
    with pytest.raises(PolicyRequired):
        write(store, default, Change.DELETED)


def test_all_of_several_writes_or_none(store: PolicyStore) -> None:
    before = store.revision()
    writes = [Write(policy=POLICY, change=Change.CREATED), Write(policy=POLICY, change=Change.CREATED)]
    other = Write(policy=replace(POLICY, agent_type="missing"), change=Change.UPDATED)
    with pytest.raises(PolicyNotFound):
        store.write([writes[0], other], by="x", now_ns=1)
    assert store.policies() == []
    assert store.revision() == before


def test_the_revision_grows_with_each_change(store: PolicyStore) -> None:
    revisions = [store.revision()]
    for change in (Change.CREATED, Change.UPDATED, Change.DELETED):
        write(store, POLICY, change)
        revisions.append(store.revision())
    assert revisions == sorted(set(revisions))


def test_a_request_is_found_again(store: PolicyStore) -> None:
    stored = write(store, POLICY, Change.CREATED, request_id="r1")
    found = store.find_request("r1")
    assert found is not None
    assert found.policy == stored
    assert store.find_request("r2") is None


def test_seeding_takes_what_is_new_and_leaves_edits(store: PolicyStore) -> None:
    edited, deleted, untouched = (replace(POLICY, agent_type=name) for name in ("edited", "gone", "left"))
    store.seed([edited, deleted, untouched], now_ns=1)
    write(store, replace(edited, allowed_domains=("mine.com",)))
    write(store, deleted, Change.DELETED)
    shipped_now = [replace(p, allowed_domains=("new.com",)) for p in (edited, deleted, untouched)]
    store.seed(shipped_now, now_ns=2)
    store.seed(shipped_now, now_ns=3)
    found = {policy.agent_type: policy for policy in store.policies()}
    assert {name: policy.allowed_domains for name, policy in found.items()} == {
        "edited": ("mine.com",), "left": ("new.com",),
    }  # fmt: skip
    assert (found["left"].version, found["left"].changed_by) == (2, "seed")


def test_what_one_process_writes_all_have(three: list[PolicyStore]) -> None:
    before = three[0].revision()
    write(three[1], POLICY, Change.CREATED)
    assert three[0].revision() > before
    assert three[0].policies() == three[1].policies() == three[2].policies()


def test_of_edits_of_one_etag_at_once_one_is_made(three: list[PolicyStore]) -> None:
    etag = write(three[0], POLICY, Change.CREATED).etag

    def edit(number: int) -> bool:
        try:
            write(three[number % 3], replace(POLICY, allowed_domains=(f"{number}.com",)), etag=etag)
        except EtagMismatch:
            return False
        return True

    with ThreadPoolExecutor(9) as threads:
        assert sum(threads.map(edit, range(9))) == 1
    assert [policy.version for policy in three[1].policies()] == [2]


def test_three_that_seed_at_once_seed_once(three: list[PolicyStore]) -> None:
    seeds = [replace(POLICY, agent_type=f"type-{number}") for number in range(20)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda store: store.seed(seeds, now_ns=1), three))
    assert [policy.version for policy in three[0].policies()] == [1] * 20


def test_whoever_polls_the_revision_misses_no_change(three: list[PolicyStore]) -> None:
    """What two write at once is seen in the order of its revisions."""
    seen: dict[int, int] = {}
    writing = threading.Event()

    def poll() -> None:
        while not writing.is_set():
            revision = three[0].revision()
            found = len(three[0].policies())
            assert seen.setdefault(revision, found) <= found
            seen[revision] = min(seen[revision], found)

    def create(number: int) -> None:
        write(three[1 + number % 2], replace(POLICY, agent_type=f"type-{number}"), Change.CREATED)

    watching = threading.Thread(target=poll)
    watching.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(create, range(40)))
    writing.set()
    watching.join(20)
    assert three[0].revision() >= 40
    assert all(found >= revision for revision, found in seen.items())
