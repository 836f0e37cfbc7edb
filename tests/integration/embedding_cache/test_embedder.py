"""The SDK's embedder over the served cache."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.key import EmbeddingModel
from stockade_agent.near_cache import NearCache

from support.cache import ServedCache, agent_headers, vector


@dataclass
class Model:
    """An embedder that remembers what it was asked."""

    dimensions: int = 16
    asked: list[str] = field(default_factory=list)
    delay: Callable[[], object] = lambda: None
    fails_on: str = ""

    def __call__(self, texts: Sequence[str]) -> Any:
        self.delay()
        if self.fails_on in texts and self.fails_on:
            raise RuntimeError("the model fell over")
        self.asked += texts
        return np.stack([self.right(text) for text in texts])

    def right(self, text: str) -> Any:
        """The vector that belongs to a text."""
        return np.frombuffer(vector(text, self.dimensions), "<f4")


SPEC = EmbeddingModel("local", "toy", "1", 16)


@pytest.fixture
def embedder(served: ServedCache, agent_name: str) -> Callable[..., CachedEmbedder]:
    def make(model: Model, spec: EmbeddingModel = SPEC, agent: str = agent_name, **options: Any) -> CachedEmbedder:
        served.agent(agent)
        return CachedEmbedder(served.channels[-1], spec, model, metadata=agent_headers(agent), **options)

    return make


def test_order_is_kept_and_each_text_is_computed_once(embedder: Any) -> None:
    model = Model()
    embed = embedder(model, batch_size=3)
    texts = ["c", "a", "b", "a", "d", "c", "e"]
    for _ in range(2):
        assert (embed(texts) == np.stack([model.right(text) for text in texts])).all()
    assert sorted(model.asked) == ["a", "b", "c", "d", "e"]
    assert (embed.counts.computed, embed.counts.hits, embed.counts.near) == (5, 0, 5)


def test_another_process_of_the_agent_finds_what_is_there(embedder: Any) -> None:
    model, later = Model(), Model()
    embedder(model)(["a", "b"])
    embed = embedder(later)
    assert (embed(["x", "b", "a"]) == np.stack([model.right(text) for text in "xba"])).all()
    assert later.asked == ["x"]
    assert (embed.counts.hits, embed.counts.computed) == (2, 1)


def test_another_agent_finds_nothing(embedder: Any) -> None:
    model = Model()
    embedder(Model())(["a"])
    embedder(model, agent="somebody-else")(["a"])
    assert model.asked == ["a"]


@pytest.mark.parametrize("change", [{"role": "query"}, {"revision": "2"}, {"dtype": "f16"}, {"normalise": True}])
def test_what_changes_a_vector_changes_its_key(embedder: Any, change: dict[str, Any]) -> None:
    fields = {"provider": "local", "model": "toy", "revision": "1", "dimensions": 16}
    name, model = f"changes-{next(iter(change))}", Model()
    embedder(Model(), agent=name)(["a"])
    embedder(model, spec=EmbeddingModel(**{**fields, **change}), agent=name)(["a"])
    assert model.asked == ["a"]


@pytest.mark.parametrize("dtype", ["f16", "int8"])
def test_cold_and_warm_agree_whatever_the_dtype(embedder: Any, dtype: str) -> None:
    spec = EmbeddingModel("local", "toy", "1", 16, dtype=dtype)
    cold = embedder(Model(), spec=spec, agent=f"agrees-{dtype}")(["a", "b"])
    warm = embedder(Model(), spec=spec, agent=f"agrees-{dtype}")(["a", "b"])
    assert (cold == warm).all()
    assert np.abs(cold - np.stack([Model().right(text) for text in "ab"])).max() < 0.05


def test_a_long_corpus_goes_in_parts_and_says_how_far_it_is(embedder: Any) -> None:
    steps: list[tuple[int, int]] = []
    wide = EmbeddingModel("local", "toy", "1", 4096)
    model = Model(4096)
    embed = embedder(model, spec=wide, progress=lambda done, total: steps.append((done, total)))
    texts = [f"text {i % 500}" for i in range(600)]
    assert (embed(texts) == np.stack([model.right(text) for text in texts])).all()
    assert len(steps) > 2
    assert steps[-1] == (500, 500)


def test_an_unfit_vector_is_given_but_not_kept(embedder: Any) -> None:
    class Broken(Model):
        def right(self, text: str) -> Any:
            return np.full(16, np.nan) if text == "bad" else super().right(text)

    embed = embedder(Broken())
    vectors = embed(["good", "bad", "fine"])
    assert np.isnan(vectors[1]).all()
    assert (vectors[[0, 2]] == np.stack([Model().right(text) for text in ("good", "fine")])).all()
    assert embed.counts.refused == 1


def test_a_model_that_fails_gives_its_lease_back(embedder: Any) -> None:
    with pytest.raises(RuntimeError, match="fell over"):
        embedder(Model(fails_on="b"), batch_size=1)(["a", "b", "c"])
    model = Model()
    embedder(model)(["a", "b", "c"])
    assert model.asked == ["b", "c"]


def test_an_embedder_of_the_wrong_shape_is_named(embedder: Any) -> None:
    with pytest.raises(ValueError, match=r"gave \(1, 8\) for 1 texts of 16 dimensions"):
        embedder(Model(8))(["a"])


def test_without_a_cache_everything_is_computed() -> None:
    model = Model()
    with grpc.insecure_channel("unix:/nowhere.sock") as channel:
        embed = CachedEmbedder(channel, SPEC, model)
        assert (embed(["a", "b"]) == np.stack([model.right(text) for text in "ab"])).all()
    assert model.asked == ["a", "b"]


def test_a_hundred_cold_callers_compute_once(embedder: Any) -> None:
    gate, model = threading.Barrier(100), Model()
    model.delay = lambda: threading.Event().wait(0.05)
    embedders = [embedder(model, near=NearCache(0)) for _ in range(100)]
    results: list[Any] = [None] * 100

    def call(i: int) -> None:
        gate.wait()
        results[i] = embedders[i](["one", "two"])

    threads = [threading.Thread(target=call, args=(i,)) for i in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(model.asked) == ["one", "two"]
    right = np.stack([model.right("one"), model.right("two")])
    assert all((result == right).all() for result in results)


def test_what_is_cleared_is_dropped_with_the_next_reply(served: ServedCache, embedder: Any, agent_name: str) -> None:
    model = Model()
    embed = embedder(model)
    embed(["a"])
    served.agent(agent_name).ClearLayer(pb.ClearLayerRequest())
    embed(["b"])
    embed(["a"])
    assert model.asked == ["a", "b", "a"]
