"""Certificates for a session over mutual TLS: an authority, a server's and a client's, and those that must not do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose files are `{name}.pem` and the like in `place`."""

    place: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, place: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key, datetime.now(UTC) + DAY)
        certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
        authority = cls(place, name, key, certificate)
        authority._write(f"{name}.pem", certificate)
        return authority

    @property
    def file(self) -> str:
        """The PEM file to trust it by."""
        return str(self.place / f"{self.name}.pem")

    def issue(self, name: str, *uris: str, expires: timedelta = DAY) -> dict[str, str]:
        """The PEM files of a certificate for loopback and `uris`, `cert` and `key`.

        With negative `expires` it is out of date.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        loopback = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        names = x509.SubjectAlternativeName([*map(x509.UniformResourceIdentifier, uris), *loopback])
        builder = _builder(name, self.name, key, datetime.now(UTC) + expires)
        self._write(f"{name}.pem", builder.add_extension(names, False).sign(self.key, hashes.SHA256()))
        path = self.place / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return {"cert": str(self.place / f"{name}.pem"), "key": str(path)}

    def _write(self, file: str, certificate: x509.Certificate) -> None:
        (self.place / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, expires: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(expires - 10 * DAY)
        .not_valid_after(expires)
    )
