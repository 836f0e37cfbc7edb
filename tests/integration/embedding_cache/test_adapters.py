"""Cached embeddings in the shapes of other libraries."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from stockade_agent.adapters import OpenAIEmbedder
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.frameworks.langchain import LangChainEmbeddings
from stockade_agent.key import EmbeddingModel

from support.cache import ServedCache, agent_headers, vector


@dataclass
class Client:
    """What an OpenAI-compatible client offers; its server answers in any order."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def embeddings(self) -> "Client":
        return self

    def create(self, **request: Any) -> SimpleNamespace:
        self.asked.append(request)
        rows = [
            SimpleNamespace(index=i, embedding=np.frombuffer(vector(text), "<f4").tolist())
            for i, text in enumerate(request["input"])
        ]
        return SimpleNamespace(data=rows[::-1])


def test_documents_and_queries_keep_their_places_and_their_keys(served: ServedCache) -> None:
    served.agent("adapted")
    client = Client()

    def embedder(role: str) -> CachedEmbedder:
        model = EmbeddingModel("openai", "m", "1", 4, role=role)
        wrapped = OpenAIEmbedder(client, "m", dimensions=4)
        return CachedEmbedder(served.channels[-1], model, wrapped, metadata=agent_headers("adapted"))

    embeddings = LangChainEmbeddings(embedder("document"), embedder("query"))
    texts = ["a", "b", "c"]
    right = [np.frombuffer(vector(text), "<f4").tolist() for text in texts]
    for _ in range(2):
        assert embeddings.embed_documents(texts) == right
        assert embeddings.embed_query("b") == right[1]
    assert client.asked == [
        {"input": texts, "model": "m", "dimensions": 4},
        {"input": ["b"], "model": "m", "dimensions": 4},
    ]


def test_dimensions_are_sent_only_when_given() -> None:
    client = Client()
    assert len(OpenAIEmbedder(client, "m")(["a", "b"])) == 2
    assert client.asked == [{"input": ["a", "b"], "model": "m"}]
