"""Where a stack's services are when they are not on this machine's sockets, and the certificates to reach them with."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from stockade_agent.errors import InvalidRequest, Untrusted

if TYPE_CHECKING:
    import grpc

SERVICES = ("sandbox", "policy", "cache", "audit")
_PREFIX = "STOCKADE_STACK_TLS_"
# X.509's Validity, a sequence of two times (RFC 5280 §4.1.2.5): the second is the end.
_VALIDITY = re.compile(rb"\x30[\x1e-\x22](?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)")


@dataclass(frozen=True)
class Tls:
    """Whom to believe and who we are: PEM files.

    `name` is what the server's certificate must be for, a DNS name, where that is not the address's host. gRPC for
    Python holds a server to no SPIFFE id; an Envoy beside the program does.
    """

    ca: str
    cert: str = ""
    key: str = ""
    name: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Tls | None:
        """By STOCKADE_STACK_TLS_CA, _CERT, _KEY and _NAME; None where no CA is named."""
        given = {field.name: environment.get(_PREFIX + field.name.upper(), "") for field in fields(cls)}
        return cls(**given) if given["ca"] else None

    def credentials(self) -> grpc.ChannelCredentials:
        """For a channel. Raises Untrusted for files that no server would believe, or that are none."""
        import grpc

        self._check()
        ca, key, cert = (Path(file).read_bytes() if file else None for file in (self.ca, self.key, self.cert))
        return grpc.ssl_channel_credentials(ca, key, cert)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Of a channel."""
        return (("grpc.ssl_target_name_override", self.name),) if self.name else ()

    def _check(self) -> None:
        if bool(self.cert) != bool(self.key):
            raise Untrusted("a certificate and its key go together: give TLS_CERT and TLS_KEY, or neither")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise Untrusted(f"{self.ca} holds no authority's certificate (PEM): {_said(error)}") from None
        if not self.cert:
            return
        try:
            context.load_cert_chain(self.cert, self.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise Untrusted(f"{self.cert} and {self.key} are no certificate and its key: {_said(error)}") from None
        if (ended := _ends(Path(self.cert).read_text())) <= datetime.now(UTC):
            raise Untrusted(f"{self.cert} expired at {ended:%Y-%m-%d %H:%M:%S} UTC; have it renewed")


def targets(address: str, tls: Tls | None) -> Callable[[str], str]:
    """From a service's short name to its gRPC target.

    `address` is one for all services, host:port or unix:/path, as a sidecar has it; or one each, as in
    sandbox=a:9441,policy=b:9442. Raises InvalidRequest for another form, and for one that leaves the machine in clear.
    """
    pairs = [part.partition("=") for part in address.split(",")]
    named = {name.strip(): target.strip() for name, equals, target in pairs if equals}
    if named and (len(named) != len(pairs) or not set(named) <= set(SERVICES)):
        raise InvalidRequest(
            f"{address!r} names no services; give one address, or {'=…,'.join(SERVICES)}=…", code="INVALID_ARGUMENT"
        )
    for target in named.values() or [address]:
        _check_target(target, tls)

    def target_of(service: str) -> str:
        if named and service not in named:
            raise InvalidRequest(f"no address is given for {service}; add {service}=host:port", code="INVALID_ARGUMENT")
        return named.get(service, address)

    return target_of


def _check_target(target: str, tls: Tls | None) -> None:
    if target.startswith("unix:"):
        return
    host, colon, port = target.rpartition(":")
    if not colon or not port.isdecimal():
        raise InvalidRequest(f"{target!r} is no host:port and no unix:/path", code="INVALID_ARGUMENT")
    if tls is None and not _is_loopback(host.strip("[]")):
        raise InvalidRequest(
            f"{target} is not on this machine and wants TLS; name its authority in {_PREFIX}CA", code="INVALID_ARGUMENT"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ends(pem: str) -> datetime:
    """When the first certificate of a PEM file ends."""
    first = pem[pem.index(ssl.PEM_HEADER) : pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]
    found = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(first))
    assert found is not None, "OpenSSL has read it"
    short, long = ((text or b"").decode() for text in found.groups())
    century = "19" if short and short >= "50" else "20"  # RFC 5280 §4.1.2.5.1
    return datetime.strptime(long or century + short, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _said(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or "unreadable"
