"""Calls to every service of a mesh, by clients that retry as the contract tells them to and no more."""

import hashlib
import itertools
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import grpc
from stockade.audit.v1 import audit_service_pb2, audit_service_pb2_grpc
from stockade.embeddingcache.v1 import embedding_cache_service_pb2, embedding_cache_service_pb2_grpc, vector_pb2
from stockade.networkpolicy.v1 import decision_service_pb2, decision_service_pb2_grpc
from stockade.sandbox.v1 import sandbox_service_pb2, sandbox_service_pb2_grpc

from support.cache import f32
from support.mesh_client import failure, standard

DOMAIN = "mesh.test"
AGENT, AGENT_TYPE = "mesh-load", "default"
DEADLINE_S = 20.0
Work = Callable[["Clients", str], object]


class Clients:
    """A channel of its own for one worker, and the stubs on it."""

    def __init__(self, target: str) -> None:
        self.channel = standard(target)
        self.sandboxes = sandbox_service_pb2_grpc.SandboxServiceStub(self.channel)
        self.decisions = decision_service_pb2_grpc.DecisionServiceStub(self.channel)
        self.cache = embedding_cache_service_pb2_grpc.EmbeddingCacheServiceStub(self.channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(self.channel)


def decide(clients: Clients, word: str) -> str:
    """A decision on a name that nobody asked for before; returns its id."""
    asked = decision_service_pb2.RequestToCheck(agent=AGENT, agent_type=AGENT_TYPE, host=f"{word}.{DOMAIN}", port=443)
    request = decision_service_pb2.CheckRequestRequest(request=asked)
    return str(clients.decisions.CheckRequest(request, timeout=DEADLINE_S).decision.decision_id)


def create(clients: Clients, word: str) -> str:
    """A sandbox under a request_id; returns its name."""
    request = sandbox_service_pb2.CreateSandboxRequest(agent=AGENT, agent_type=AGENT_TYPE, request_id=word)
    return str(clients.sandboxes.CreateSandbox(request, timeout=DEADLINE_S).sandbox.name)


def look(clients: Clients, _word: str) -> None:
    """The sandboxes of all nodes, by whichever."""
    clients.sandboxes.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest(page_size=1), timeout=DEADLINE_S)


def put(clients: Clients, word: str) -> None:
    """A vector."""
    row = vector_pb2.Rows(format=f32(1), vectors=struct.pack("<f", 1.0))
    key = hashlib.sha256(word.encode()).digest()
    request = embedding_cache_service_pb2.BatchPutRequest(layer=f"agents/{AGENT}", keys=key, rows=row)
    clients.cache.BatchPut(request, timeout=DEADLINE_S)


def read(clients: Clients, _word: str) -> None:
    """The newest entry of one node's record."""
    clients.audit.ListEntries(audit_service_pb2.ListEntriesRequest(page_size=1), timeout=DEADLINE_S)


@dataclass(frozen=True)
class Call:
    """One that has ended: its word, what it returned, when it began and ended, and its failure, empty for none.

    `worker` made it, and none other until it had ended.
    """

    work: Work
    word: str
    result: object
    began: float
    ended: float
    failed: str
    worker: int = 0


@dataclass
class Load:
    """What was called so far. Each call's word begins with `nonce`."""

    nonce: str = field(default_factory=lambda: f"n{secrets.token_hex(4)}")
    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def failed(self) -> list[Call]:
        """Those that did not succeed."""
        return [call for call in self.calls if call.failed]

    def of(self, work: Work) -> list[Call]:
        """Those that did, of one kind."""
        return [call for call in self.calls if call.work is work and not call.failed]

    def outage(self, work: Work, since: float, until: float) -> float:
        """The longest that any worker went without a success between two moments, in seconds."""
        longest = 0.0
        for worker in {call.worker for call in self.calls}:
            ends = sorted(call.ended for call in self.of(work) if call.worker == worker and since < call.ended < until)
            longest = max(longest, *(after - before for before, after in itertools.pairwise([since, *ends, until])))
        return longest

    def gap(self, since: float, until: float) -> float:
        """The longest that nobody had a success between two moments, in seconds."""
        ends = sorted(call.ended for call in self.calls if not call.failed and since < call.ended < until)
        return max(after - before for before, after in itertools.pairwise([since, *ends, until]))

    def done(self, call: Call) -> None:
        """Take a call in."""
        with self._lock:
            self.calls.append(call)

    def wait(self, count: int, within_s: float) -> None:
        """Until so many calls have ended."""
        deadline = time.monotonic() + within_s
        while len(self.calls) < count:
            assert time.monotonic() < deadline, f"{len(self.calls)} of {count} calls within {within_s} s"
            time.sleep(0.02)


@contextmanager
def load(target: str, works: Sequence[Work], workers: int = 6, pause: float = 0.0) -> Iterator[Load]:
    """Calls of these kinds in turn, by so many at once, for as long as the block runs; all have ended after it.

    Each worker rests for `pause` seconds after a call.
    """
    made, numbers = Load(), itertools.count()
    threads = [
        threading.Thread(target=_work, args=(made, Clients(target), works, numbers, worker, pause))
        for worker in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made._stop.set()
        for thread in threads:
            thread.join()


def _work(
    made: Load, clients: Clients, works: Sequence[Work], numbers: Iterator[int], worker: int, pause: float
) -> None:
    with clients.channel:
        while not made._stop.is_set():
            number = next(numbers)
            ended = call(clients, works[number % len(works)], f"{made.nonce}-{number}")
            made.done(replace(ended, worker=worker))
            made._stop.wait(pause)


def call(clients: Clients, work: Work, word: str) -> Call:
    """One call, to its end."""
    began = time.monotonic()
    try:
        result, failed = work(clients, word), ""
    except grpc.RpcError as error:
        result, failed = None, f"{' '.join(failure(error))} {error.details()}"
    return Call(work, word, result, began, time.monotonic(), failed)
