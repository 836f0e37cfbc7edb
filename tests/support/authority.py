"""A certificate authority of the test, whose certificates carry SPIFFE ids."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Authority:
    """A CA: its key and certificate are in `place`, and what it issued."""

    place: Path

    @classmethod
    def create(cls, place: Path) -> "Authority":
        place.mkdir(parents=True)
        out = ("-keyout", place / "ca.key", "-out", place / "ca.crt")
        _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=authority", *out)
        return cls(place)

    def issue(self, name: str, identity: str, days: int = 1) -> tuple[Path, Path]:
        """Certificate and key of a SPIFFE id; for localhost too, should it be a server's. Expired with days=-1."""
        certificate, key, extensions = (self.place / f"{name}.{end}" for end in ("crt", "key", "ext"))
        extensions.write_text(f"subjectAltName=URI:{identity},DNS:localhost\n")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", self.place / f"{name}.csr")
        signed = ("x509", "-req", "-days", str(days), "-CA", self.place / "ca.crt", "-CAkey", self.place / "ca.key")
        _openssl(*signed, "-in", self.place / f"{name}.csr", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def directory(self, name: str, identity: str) -> Path:
        """The same as cert-manager writes it: a directory of tls.crt, tls.key and ca.crt, new over old."""
        place = self.place / name
        place.mkdir(exist_ok=True)
        certificate, key = self.issue(name, identity)
        for source, target in ((certificate, "tls.crt"), (key, "tls.key"), (self.place / "ca.crt", "ca.crt")):
            shutil.copy(source, place / f".{target}")
            (place / f".{target}").replace(place / target)
        return place
