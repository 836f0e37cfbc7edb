"""How tests call a mesh: by the client's sidecar as its operator, or straight to a node with any certificate."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.loops import running_loop
from support.mesh_network import Host

NODE = "x-stockade-node"
"""Metadata that says which node a call is for."""
_STANDARD = (("grpc.service_config", files("stockade").joinpath("service_config.json").read_text()),)
_BARE = (("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_retries", 0))


def standard(target: str) -> grpc.Channel:
    """A channel that retries as the contract tells every client to."""
    return grpc.insecure_channel(target, options=_STANDARD)


def bare(target: str, ca: Path | None = None, pair: tuple[Path, Path] | None = None) -> grpc.Channel:
    """A channel that retries nothing: by TLS that believes `ca`, with a certificate and key; without `ca`, in clear."""
    if ca is None:
        return grpc.insecure_channel(target, options=_BARE)
    certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate), options=_BARE)


def failure(error: grpc.RpcError) -> tuple[str, str]:
    """Status and reason of a failed call, the reason empty where it did not come from a service of ours."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return error.code().name, info.reason
    return error.code().name, ""


def shown(target: str) -> str:
    """The certificate, PEM, that a TLS server shows at the end of a way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(target.removeprefix("unix:"))
        with context.wrap_socket(plain) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")


@contextmanager
def ways(host: Host, directory: Path, ends: Mapping[str, tuple[str, int]]) -> Iterator[None]:
    """While the block runs, `directory/<name>.sock` leads from `host` to each address and port; no byte is added."""
    with running_loop(host.entered) as loop:
        servers = [
            asyncio.run_coroutine_threadsafe(_way(directory / f"{name}.sock", *end), loop).result(10)
            for name, end in ends.items()
        ]
        try:
            yield
        finally:
            for server in servers:
                loop.call_soon_threadsafe(server.close)


async def _way(path: Path, address: str, port: int) -> asyncio.Server:
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                far_reader, far_writer = await asyncio.open_connection(address, port)
            except OSError:
                return
            with closing(far_writer):
                copies = [asyncio.ensure_future(_copy(*pair)) for pair in ((reader, far_writer), (far_reader, writer))]
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)

    return await asyncio.start_unix_server(join, path)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass  # the other end went away, which ends the way
