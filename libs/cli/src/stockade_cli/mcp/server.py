"""The tools and resources that a client finds."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any, Literal

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import CallToolResult, TextContent
from opentelemetry import trace
from pydantic import BaseModel, Field
from stockade_agent.client import AsyncStockade
from stockade_agent.errors import NetworkPolicyError
from stockade_agent.sandbox import AsyncSandbox, Ending

from stockade_cli.mcp.desk import Desk, HandedOut
from stockade_cli.mcp.fetching import fetch, readable
from stockade_cli.mcp.reading import policy_text, record_text, trace_text

INSTRUCTIONS = """Run programs in a sandbox with limits on memory, processes, disk and network.
/workspace is the directory to work in; it lives as long as the sandbox. Only hosts that a policy allows can be reached:
network_policy lists them, and a refusal says which rule made it. What happens is on an audit record."""

KEPT_BYTES = 64 * 1024
"""Of each stream a result has at most so much: its beginning and its end."""
MAX_FILE_BYTES = 256 * 1024
MAX_SECONDS = 3600
_LANGUAGES = {"python": ("python3", "-"), "bash": ("bash", "-s"), "node": ("node", "-")}

Tool = Callable[..., Awaitable[Any]]
Handle = Annotated[str, Field(description="The sandbox's name, as create_sandbox told it.")]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, description="The program is ended after so many seconds.")]
Path = Annotated[str, Field(pattern="^/", description="An absolute path in the sandbox.")]


class Execution(BaseModel):
    """What a program wrote and how it ended."""

    sandbox: str
    reason: str = Field(description="EXITED, SIGNALLED, TIMEOUT, OUT_OF_MEMORY, PIDS_LIMIT, DISK_FULL, OUTPUT_LIMIT, …")
    exit_code: int | None
    detail: str
    stdout: str
    stderr: str
    trace: str = Field(description="The resource that shows the trace.")


def build(
    stockade: AsyncStockade, desk: Desk, *, verifier: TokenVerifier | None = None, auth: AuthSettings | None = None
) -> MCPServer[None]:
    """A server whose calls go to the sandboxes of `desk`."""

    server: MCPServer[None] = MCPServer(
        "stockade",
        title="Stockade",
        version=version("stockade-cli"),
        instructions=INSTRUCTIONS,
        token_verifier=verifier,
        auth=auth,
        log_level="WARNING",
    )
    tools = _tools(stockade, desk)
    if isinstance(desk, HandedOut):
        tools += _lifecycle(desk)
    else:
        tools = [_without_handle(tool) for tool in tools]
    for tool in tools:
        server.add_tool(tool)
    _add_resources(server, stockade, desk)
    return server


def _tools(stockade: AsyncStockade, desk: Desk) -> list[Tool]:
    async def run_command(
        sandbox: Handle,
        command: Annotated[str, Field(min_length=1, description="For `sh -c`.")],
        context: Context[Any, Any],
        stdin: str = "",
        timeout_s: Seconds = 60,
    ) -> Annotated[CallToolResult, Execution]:
        """Run a shell command in /workspace."""
        async with desk.use(sandbox) as box:
            return await _run(box, ("sh", "-c", command), stdin, timeout_s, context)

    async def run_code(
        sandbox: Handle,
        code: str,
        context: Context[Any, Any],
        language: Literal["python", "bash", "node"] = "python",
        timeout_s: Seconds = 60,
    ) -> Annotated[CallToolResult, Execution]:
        """Run a program that is given as text. Nothing but files stays from one call to the next."""
        async with desk.use(sandbox) as box:
            return await _run(box, _LANGUAGES[language], code, timeout_s, context)

    async def read_file(sandbox: Handle, path: Path, offset: Annotated[int, Field(ge=0)] = 0) -> str:
        """Read a text file, at most 256 KiB of it from byte `offset` on."""
        async with desk.use(sandbox) as box:
            content = await box.files.read(path, offset=offset, length=MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            more = f"\n… more follows: read on with offset={offset + MAX_FILE_BYTES}"
            return content[:MAX_FILE_BYTES].decode(errors="replace") + more
        return content.decode(errors="replace")

    async def write_file(sandbox: Handle, path: Path, content: str, append: bool = False) -> str:
        """Write a text file, with the directories above it."""
        async with desk.use(sandbox) as box:
            written = await box.files.write(path, content.encode(), append=append, parents=True)
        return f"{path} has {written.size_bytes} bytes"

    async def list_files(sandbox: Handle, path: Path = "/workspace") -> str:
        """List a directory: kind, size and name of each entry."""
        async with desk.use(sandbox) as box:
            entries = await box.files.list(path)
        return "\n".join(f"{e.kind.lower():9} {e.size_bytes:>12} {e.path}" for e in entries) or f"{path} is empty"

    async def fetch_url(
        sandbox: Handle,
        url: str,
        method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET",
        headers: dict[str, str] | None = None,
        body: str = "",
    ) -> str:
        """Send an HTTP request from inside the sandbox. A redirect is answered as it is, not followed."""
        async with desk.use(sandbox) as box:
            try:
                answer = await fetch(box, url, method, headers or {}, body)
            except NetworkPolicyError as refusal:
                raise ToolError(readable(refusal)) from refusal
        told = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        cut = "\n… the answer is longer; this is its beginning" if answer.cut else ""
        return f"HTTP {answer.status}\n{told}\n{answer.body.decode(errors='replace')}{cut}"

    async def network_policy(sandbox: Handle) -> str:
        """List the hosts and ports that can be reached from the sandbox, and how often."""
        async with desk.use(sandbox) as box:
            return await policy_text(stockade, box)

    return [run_command, run_code, read_file, write_file, list_files, fetch_url, network_policy]


def _lifecycle(desk: HandedOut) -> list[Tool]:
    async def create_sandbox() -> str:
        """Create a sandbox, and tell its name: every other tool wants it. It ends when it is idle for long."""
        return (await desk.create()).name

    async def end_sandbox(sandbox: Handle) -> str:
        """End a sandbox, and all that is in it."""
        await desk.end(sandbox)
        return f"{sandbox} has ended"

    return [create_sandbox, end_sandbox]


def _add_resources(server: MCPServer[None], stockade: AsyncStockade, desk: Desk) -> None:
    @server.resource("stockade://{sandbox}/log", mime_type="text/plain")
    async def log(sandbox: str) -> str:
        """What the audit record has about a sandbox."""
        async with _found(desk, sandbox) as box:
            return await record_text(stockade, box.name)

    @server.resource("stockade://{sandbox}/trace/{trace_id}", mime_type="text/plain", name="trace")
    async def read_trace(sandbox: str, trace_id: str) -> str:
        """One call as a tree of spans with their times."""
        async with _found(desk, sandbox) as box:
            return await trace_text(stockade, box.name, trace_id)


@asynccontextmanager
async def _found(desk: Desk, handle: str) -> AsyncIterator[AsyncSandbox]:
    """As `Desk.use`, with errors that a client is shown for a resource."""
    try:
        async with desk.use(handle) as sandbox:
            yield sandbox
    except ToolError as error:
        raise ResourceNotFoundError(str(error)) from error


async def _run(
    sandbox: AsyncSandbox, args: tuple[str, ...], stdin: str, timeout_s: float, context: Context[Any, Any]
) -> CallToolResult:
    """Run to the end, telling progress; when the call is cancelled, the program and all it started are ended."""
    kept: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    async with await sandbox.commands.start(*args, timeout=timeout_s) as process:
        async with process.feeding(stdin.encode()), aclosing(process.output()) as pieces:
            written = 0
            async for stream, data in pieces:
                kept[stream].append(data)
                written += len(data)
                await context.report_progress(written, message=f"{written} bytes of output")
        assert process.ending is not None, "output ends with the ending or an error"
        return _result(sandbox.name, process.ending, *(_text(b"".join(kept[name])) for name in ("stdout", "stderr")))


def _result(sandbox: str, ending: Ending, stdout: str, stderr: str) -> CallToolResult:
    trace_id = trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)
    execution = Execution(
        sandbox=sandbox,
        reason=ending.reason,
        exit_code=ending.exit_code,
        detail=ending.detail,
        stdout=stdout,
        stderr=stderr,
        trace=f"stockade://{sandbox}/trace/{trace_id}",
    )
    parts = [stdout, f"[stderr]\n{stderr}" if stderr else "", f"[{ending.detail}]"]
    text = "\n".join(part.rstrip("\n") for part in parts if part)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=execution.model_dump())


def _text(data: bytes) -> str:
    """At most `KEPT_BYTES` of it: how output began and how it ended says most."""
    if len(data) <= KEPT_BYTES:
        return data.decode(errors="replace")
    half = KEPT_BYTES // 2
    left_out = f"\n… {len(data) - KEPT_BYTES} bytes are left out here …\n"
    return data[:half].decode(errors="replace") + left_out + data[-half:].decode(errors="replace")


def _without_handle(tool: Tool) -> Tool:
    """`tool` for the one sandbox that there is."""

    @wraps(tool)
    async def call(**arguments: Any) -> Any:
        return await tool(sandbox="", **arguments)

    signature = inspect.signature(tool)
    parameters = [each for name, each in signature.parameters.items() if name != "sandbox"]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    del call.__wrapped__  # or the signature of what it wraps would count
    return call
