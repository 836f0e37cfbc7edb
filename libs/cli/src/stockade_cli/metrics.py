"""`stockade metrics`: the services' metrics as one text, printed or served to Prometheus."""

import hmac
import http.client
import os
import secrets
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from stockade_rpckit.metrics import CONTENT_TYPE, Families

from stockade_cli.addresses import Address, Listening
from stockade_cli.connection import current_settings
from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.output import say
from stockade_cli.settings import SERVICES, StackSettings

ANSWER_S = 5.0


@click.command()
@click.option(
    "--listen",
    type=Address("127.0.0.1:9464"),
    metavar="ADDRESS:PORT",
    help="Serve them to Prometheus on a loopback address.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The token that Prometheus has to send; made where there is none.",
)
def metrics(listen: Listening | None, token_file: Path | None) -> None:
    """Print the services' metrics, or serve them to Prometheus.

    A label tells the service; stockade_up tells which of them answer. For operators and auditors.
    """
    directory = _directory(current_settings())
    if listen is None:
        click.echo(gather(directory), nl=False)
        return
    if token_file is None:
        raise click.UsageError("--listen needs --token-file: nobody reads metrics on a port without a token")
    with ThreadingHTTPServer(_loopback(listen), _handler(directory, _token(token_file))) as server:
        say(f"stockade: metrics on http://{listen}/metrics, to who sends the token of {token_file}")
        server.serve_forever()


def gather(directory: Path) -> bytes:
    """The metrics of all services that answer in an operator's or auditor's directory."""
    up = GaugeMetricFamily("stockade_up", "1 where the service answers.", labels=["service"])
    merged: dict[str, Metric] = {}
    for service in SERVICES:
        text = _scrape(directory / f"{service}.metrics.sock")
        up.add_metric([service], 0.0 if text is None else 1.0)
        for family in text_string_to_metric_families(text or ""):
            whole = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [
                sample._replace(labels={"service": service, **sample.labels}) for sample in family.samples
            ]
    return generate_latest(Families([up, *merged.values()]))


class _Connection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _scrape(path: Path) -> str | None:
    """What a service tells; None where it does not answer."""
    connection = _Connection(path)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _directory(settings: StackSettings) -> Path:
    """The caller's directory, an operator's or an auditor's."""
    for kind in ("operators", "auditors"):
        mine = settings.run_dir / kind / settings.person
        if mine.is_dir() and os.access(mine, os.X_OK):
            return mine
    if not settings.run_dir.exists():
        raise CommandFailed(f"no stack runs in {settings.run_dir}; start one with: stockade up", Exit.UNREACHABLE)
    raise CommandFailed(
        f"{settings.person} is no operator or auditor of the stack in {settings.run_dir}; whoever runs it adds you "
        f"with STOCKADE_STACK_AUDITORS={settings.person}",
        Exit.REFUSED,
    )


def _loopback(listen: Listening) -> tuple[str, int]:
    if not listen.address.is_loopback or listen.address.version != 4:
        raise click.BadParameter(
            f"{listen.address} is no loopback address of IPv4: let a Prometheus agent of this machine, or a sidecar, "
            "carry them on",
            param_hint="--listen",
        )
    return str(listen.address), listen.port


def _token(path: Path) -> str:
    """The token in `path`, which is made where there is none."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    if token := path.read_text().strip():
        return token
    raise CommandFailed(f"{path} is empty; remove it, and a token is made", Exit.USAGE)


def _handler(directory: Path, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers.get("Authorization", "")
            if not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
                self.send_error(401)
            elif self.path != "/metrics":
                self.send_error(404)
            else:
                self._answer(gather(directory))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a scrape is no news."""

    return Handler
