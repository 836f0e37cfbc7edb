"""Origins on loopback for tests of the gate: they count connections and bytes, and keep what was asked of them."""

import asyncio
import datetime
import ipaddress
import mimetypes
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_BODY_S = 1.0  # how long an announced body is waited for


@dataclass
class Origin:
    """What an origin saw. `heads` are the requests' heads, `bytes` what arrived on the wire (inside TLS: after it).

    `reply` is what each request gets, or a function from its head to that.
    """

    address: str
    port: int
    reply: bytes | Callable[[str], bytes] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"
    connections: int = 0
    bytes: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Where it listens, as `address:port`."""
        return f"{self.address}:{self.port}"

    def untouched(self) -> bool:
        """Whether nobody connected."""
        return self.connections == 0 and self.bytes == 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers each request head with `reply`; what is no HTTP is counted and kept open."""
        self.connections += 1
        try:
            while data := await _message(reader):
                self.bytes += len(data)
                heads = [part.decode("latin-1") for part in data.split(b"\r\n\r\n") if part]
                self.heads += heads
                ended = max(1, data.count(b"\r\n\r\n"))
                writer.write(
                    b"".join(self.reply(head) if callable(self.reply) else self.reply for head in heads[:ended])
                )
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """What comes at once, and the rest of the body that its last head announces: an answer before would cut it off."""
    data = await reader.read(65536)
    while (missing := _missing(data)) > 0:
        try:
            more = await asyncio.wait_for(reader.read(missing), _BODY_S)
        except TimeoutError:
            break  # it announces what it does not send
        if not more:
            break
        data += more
    return data


def _missing(data: bytes) -> int:
    head, ends, body = data.rpartition(b"\r\n\r\n")
    last = head.rpartition(b"\r\n\r\n")[2]
    announced = re.search(rb"\r\ncontent-length: *(\d{1,9})", last, re.IGNORECASE)
    return int(announced[1]) - len(body) if ends and announced else 0


def files(directory: Path) -> Callable[[str], bytes]:
    """A reply for `Origin`: the file below `directory` that a request's path names, `index.html` of a directory."""

    def reply(head: str) -> bytes:
        path = directory / urlsplit(head.split(" ")[1]).path.lstrip("/")
        path = path / "index.html" if path.is_dir() else path
        status, body = ("200 OK", path.read_bytes()) if path.is_file() else ("404 Not Found", b"")
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    return reply


@asynccontextmanager
async def origin(address: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Origin]:
    """An origin on a free port of `address`."""
    seen = Origin(address, 0)
    server = await asyncio.start_server(seen.handle, address, port, ssl=tls, backlog=512)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()


@dataclass(frozen=True)
class Authority:
    """A certificate authority for tests, and what it signed."""

    certificate: Path
    server: ssl.SSLContext

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts it."""
        return ssl.create_default_context(cafile=str(self.certificate))


def authority(directory: Path, *names: str) -> Authority:
    """A new authority whose server certificate holds for `names`."""
    key, ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("Stockade tests")
    ca = _certificate(issuer, issuer, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=0))
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    leaf = _certificate(_name(names[0]), issuer, key, ca_key, alternatives)
    pem, ca_pem = directory / "server.pem", directory / "ca.pem"
    ca_pem.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + _pem(key))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return Authority(ca_pem, server)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    )
    return builder.sign(signer, hashes.SHA256())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
