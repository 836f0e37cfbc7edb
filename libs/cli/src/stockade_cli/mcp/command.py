"""`stockade mcp`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from stockade_agent.client import AsyncStockade
from stockade_rpckit import tracing

from stockade_cli.addresses import Address, Listening
from stockade_cli.connection import connected, export_spans, operator_settings
from stockade_cli.durations import Duration
from stockade_cli.errors import CommandFailed
from stockade_cli.output import say
from stockade_cli.sandbox_options import agent_request, sandbox_options
from stockade_cli.settings import StackSettings
from stockade_cli.streams import run_interruptible

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@sandbox_options
@click.option("--idle-timeout", type=Duration(), default="15m", show_default=True, metavar="D",
              help="End a sandbox that nothing ran in for so long.")  # fmt: skip
@click.option(
    "--http",
    type=Address("127.0.0.1:8765"),
    metavar="ADDRESS:PORT",
    help="Serve by streamable HTTP instead of standard input and output.",
)
@click.option("--tokens", type=_FILE, metavar="FILE", help="With --http: who may use it, lines of TOKEN AGENT [TYPE].")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="With --http: the certificate, PEM.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="With --http: its key, PEM.")
def mcp(
    idle_timeout: timedelta,
    http: Listening | None,
    tokens: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    **ask: Any,
) -> None:
    """Serve sandboxes as tools to a Model Context Protocol client.

    On standard input and output the process has one sandbox, which ends with it. Over HTTP each client creates its
    own and names them in its calls; there it takes a token, and anywhere but on loopback a certificate.
    """
    if http is None and (tokens or tls_cert or tls_key):
        raise click.UsageError("--tokens, --tls-cert and --tls-key go with --http")
    try:
        import mcp as _mcp  # noqa: F401 tells whether the extra is there
    except ModuleNotFoundError as error:
        raise CommandFailed("this takes the extra `mcp`: install stockade-cli[mcp]") from error
    settings = operator_settings()
    request = {**agent_request(settings, ask), "idle_timeout": idle_timeout}
    if http is None:
        run_interruptible(_stdio(settings, request))
        return
    if tokens is None:
        raise click.UsageError("--http takes --tokens FILE: without a token nobody may use it")
    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if not (http.address.is_loopback or tls_cert):
        raise click.UsageError(
            f"{http.address} can be reached from elsewhere: --http takes --tls-cert and --tls-key there"
        )
    run_interruptible(_http(settings, request, http, tokens, tls_cert, tls_key))


async def _stdio(settings: StackSettings, request: dict[str, Any]) -> None:
    from stockade_cli.mcp.desk import OwnSandbox
    from stockade_cli.mcp.server import build

    async with _traced(settings) as stockade:
        desk = OwnSandbox(stockade, request)
        try:
            await build(stockade, desk).run_stdio_async()
        finally:
            await desk.close()


async def _http(
    settings: StackSettings,
    request: dict[str, Any],
    http: Listening,
    tokens: Path,
    cert: Path | None,
    key: Path | None,
) -> None:
    import uvicorn
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    from stockade_cli.mcp.desk import HandedOut
    from stockade_cli.mcp.server import build
    from stockade_cli.mcp.tokens import Tokens

    url, host = AnyHttpUrl(f"{'https' if cert else 'http'}://{http}"), str(http.address)
    async with _traced(settings) as stockade:
        desk = HandedOut(stockade, request)
        auth = AuthSettings(issuer_url=url, resource_server_url=None)
        server = build(stockade, desk, verifier=Tokens(tokens), auth=auth)
        config = uvicorn.Config(
            server.streamable_http_app(host=host), host=host, port=http.port, log_level="warning",
            ssl_certfile=cert, ssl_keyfile=key, timeout_graceful_shutdown=5,
        )  # fmt: skip
        say(f"stockade: serving MCP on {url}mcp")
        try:
            await uvicorn.Server(config).serve()
        finally:
            await desk.close()


@asynccontextmanager
async def _traced(settings: StackSettings) -> AsyncIterator[AsyncStockade]:
    stockade = connected(settings)
    export_spans(settings, "stockade-mcp")
    try:
        async with stockade:
            yield stockade
    finally:
        tracing.shutdown()
