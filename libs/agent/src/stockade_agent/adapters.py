"""Cached embeddings in the shapes that other libraries expect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stockade_agent.embeddings import CachedEmbedder


class LangChainEmbeddings:
    """LangChain's `Embeddings` (langchain_core.embeddings.Embeddings), by its methods.

    Documents and queries have embedders of their own: for many models they are different vectors, and the role is
    part of the key.
    """

    def __init__(self, documents: CachedEmbedder, queries: CachedEmbedder) -> None:
        self._documents, self._queries = documents, queries

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order."""
        return [row.tolist() for row in self._documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        """The vector of one query."""
        vector: list[float] = self._queries([text])[0].tolist()
        return vector


@dataclass(frozen=True)
class OpenAIEmbedder:
    """The function that `CachedEmbedder` wraps, from a client with OpenAI's interface.

    `client` is `openai.OpenAI()` or any that has `embeddings.create(input=…, model=…)`; `dimensions` is sent only
    when it is given, since not every server knows it.
    """

    client: Any
    model: str
    dimensions: int | None = None

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text. The answer's rows carry their place; it is kept whatever order they come in."""
        options = {} if self.dimensions is None else {"dimensions": self.dimensions}
        answer = self.client.embeddings.create(input=list(texts), model=self.model, **options)
        return [row.embedding for row in sorted(answer.data, key=lambda row: row.index)]
