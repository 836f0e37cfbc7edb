"""Our own certificate, its key and the authorities we believe: files that are read again when they change.

Whoever renews them may write them one after the other. What does not fit together, or has expired, is not taken: what
was there before stays in use, and one line says why. Calls under way and connections made keep what they began with.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stockade_rpckit.logs import get_logger

log = get_logger(__name__)


class CertificatesUnusable(Exception):
    """The files cannot be used; the message names the file and the mend."""


@dataclass(frozen=True)
class Pem:
    """What the three files held when they were read together."""

    cert: bytes
    key: bytes
    ca: bytes

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The same, as a gRPC server takes it."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.cert)], self.ca)


@dataclass(frozen=True)
class Files:
    """Where certificate, key and authorities lie."""

    cert: Path
    key: Path
    ca: Path

    def read(self) -> Pem:
        """All three, which fit together. Raises CertificatesUnusable."""
        pem = Pem(*(_bytes(path) for path in (self.cert, self.key, self.ca)))
        certificates = _certificates(self.cert, pem.cert)
        _certificates(self.ca, pem.ca)
        try:
            key = load_pem_private_key(pem.key, None)
        except (ValueError, TypeError):
            raise CertificatesUnusable(f"{self.key} holds no key without a passphrase (PEM); write it anew") from None
        if certificates[0].public_key() != key.public_key():
            raise CertificatesUnusable(f"{self.key} is not the key of {self.cert}; put the two of one issue there")
        expired = certificates[0].not_valid_after_utc
        if expired <= datetime.datetime.now(datetime.UTC):
            raise CertificatesUnusable(f"{self.cert} expired at {expired:%Y-%m-%d %H:%M:%S} UTC; have it renewed")
        return pem

    def state(self) -> Sequence[tuple[int, int, int]]:
        """What changes when one of them is written or replaced; () while one is missing."""
        try:
            found = [path.stat() for path in (self.cert, self.key, self.ca)]
        except OSError:
            return ()
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found]


class ServerCertificates:
    """What a server shows and whom it believes, by files that may change while it serves."""

    def __init__(self, files: Files) -> None:
        """Raises CertificatesUnusable."""
        self._files = files
        self._seen = files.state()
        self._pem = files.read()
        self._lock = threading.Lock()

    def credentials(self) -> grpc.ServerCredentials:
        """For a port on which every client shows a certificate. TLS 1.2 or later, ALPN h2: gRPC takes nothing else."""
        return grpc.dynamic_ssl_server_credentials(self._pem.configuration(), self._renewed, True)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What changed since the last handshake, None for nothing; gRPC asks at each, on a thread of its own."""
        with self._lock:
            if (state := self._files.state()) == self._seen:
                return None
            self._seen = state
            try:
                self._pem = self._files.read()
            except CertificatesUnusable as error:
                log.warning("changed certificates are not taken", extra={"error": str(error)})
                return None
            log.info("certificates were changed", extra={"cert": str(self._files.cert)})
            return self._pem.configuration()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificatesUnusable(f"{path} cannot be read: {error.strerror}; put the file there") from None


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificatesUnusable(f"{path} holds no certificate (PEM); write it anew") from None
