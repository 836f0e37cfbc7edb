"""Stockade for LangChain: tools of a sandbox, and the cache as `Embeddings`.

with Stockade.connect() as stockade, stockade.sandbox("writer-1") as sandbox:
    agent = create_agent(model, tools=sandbox_tools(sandbox))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from langchain_core.embeddings import Embeddings
from langchain_core.tools import BaseTool, ToolException, tool

from stockade_agent.errors import StockadeError

if TYPE_CHECKING:
    from stockade_agent.embeddings import CachedEmbedder
    from stockade_agent.sandbox import Sandbox

SECONDS = 60.0
KEPT_CHARACTERS = 32 * 1024
"""Of a program's output the model gets at most so much: its end, where the error stands."""


def sandbox_tools(sandbox: Sandbox, *, seconds: float = SECONDS) -> list[BaseTool]:
    """Tools that run in `sandbox`, each program for at most `seconds`.

    A program that fails, and a call that fails, are results that the model reads.
    """

    @tool
    def run_python(code: Annotated[str, "The program's text; it prints what it finds."]) -> str:
        """Run a Python program in a sandbox. Files in /workspace stay from one call to the next, nothing else does."""
        return _run(sandbox, ("python3", "-"), code, seconds)

    @tool
    def run_shell(command: Annotated[str, "For `sh -c`."]) -> str:
        """Run a shell command in a sandbox, in /workspace."""
        return _run(sandbox, ("sh", "-c", command), "", seconds)

    @tool
    def write_file(path: Annotated[str, "Absolute, e.g. /workspace/a.txt."], content: str) -> str:
        """Write a text file in a sandbox, with the directories above it."""
        with _readable():
            written = sandbox.files.write(path, content.encode(), parents=True)
        return f"{path} has {written.size_bytes} bytes"

    @tool
    def read_file(path: Annotated[str, "Absolute, e.g. /workspace/a.txt."]) -> str:
        """Read a text file in a sandbox, at most its first 32 KiB."""
        with _readable():
            return sandbox.files.read(path, length=KEPT_CHARACTERS).decode(errors="replace")

    tools: list[BaseTool] = [run_python, run_shell, write_file, read_file]
    for each in tools:
        each.handle_tool_error = True
    return tools


class LangChainEmbeddings(Embeddings):
    """LangChain's `Embeddings`, through the cache.

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


@contextmanager
def _readable() -> Iterator[None]:
    """Turns a failed call into what the model reads."""
    try:
        yield
    except StockadeError as error:
        raise ToolException(f"{error.message} [{error.reason or error.code}]") from error


def _run(sandbox: Sandbox, args: tuple[str, ...], stdin: str, seconds: float) -> str:
    with _readable():
        done = sandbox.run(*args, stdin=stdin.encode(), timeout=seconds)
    said = (done.stdout + done.stderr).decode(errors="replace")
    if len(said) > KEPT_CHARACTERS:
        said = f"… {len(said) - KEPT_CHARACTERS} characters are left out …\n{said[-KEPT_CHARACTERS:]}"
    return said if done.ending.ok else f"{said}\n[{done.ending.detail}]".lstrip("\n")
