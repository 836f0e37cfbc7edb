"""Cached embeddings in the shapes that other libraries expect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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
