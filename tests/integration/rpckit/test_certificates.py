"""Certificates as files: changed while a service serves, and refused with one line when it cannot start by them."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from stockade_rpckit.listeners import mesh_listeners
from stockade_rpckit.settings import ServiceSettings

from conformance.certificates import Authority
from support.probe import messages, stubs
from support.probe_mesh import NO_CALL, OURS, Mesh, directories, free_port, probe_mesh, served_files, spiffe
from support.probe_process import ProbeProcess

CALLS_A_CHANNEL, CALLS_A_ROTATION = 25, 100


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with probe_mesh(tmp_path) as mesh:
        yield mesh


async def rotations(mesh: Mesh, count: int) -> AsyncIterator[int]:
    """Issues the service a new certificate, again and again; every other one file by file, with a pause between."""
    cert, key = Path(mesh.files["tls_cert"]), Path(mesh.files["tls_key"])
    for number in range(count):
        pair = mesh.authority.issue("next", OURS)
        for source, target in ((pair["cert"], cert), (pair["key"], key)):
            fresh = target.with_suffix(".new")
            shutil.copy(source, fresh)
            os.replace(fresh, target)
            await asyncio.sleep(0.02 if number % 2 else 0)
        yield number
        await asyncio.sleep(0.03)


@pytest.mark.parametrize("calls", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
async def test_a_certificate_changes_without_a_failed_call(mesh: Mesh, calls: int) -> None:
    pair = mesh.authority.issue("client", spiffe("operator/ada"))
    credentials = mesh.credentials(pair["key"], pair["cert"])
    answered = 0

    async def call() -> None:
        nonlocal answered
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own, and so a handshake
        async with grpc.aio.secure_channel(f"localhost:{mesh.port}", credentials, options=options) as channel:
            stub = stubs.ProbeStub(channel)
            for _ in range(CALLS_A_CHANNEL):
                await stub.Who(messages.Ask(name="x"), timeout=10)
                answered += 1

    async def clients() -> None:
        for _ in range(calls // CALLS_A_CHANNEL // 4):
            await asyncio.gather(*(call() for _ in range(4)))

    calling = asyncio.create_task(clients())
    changed = [number async for number in rotations(mesh, calls // CALLS_A_ROTATION)]
    await calling
    assert (answered, len(changed)) == (calls, calls // CALLS_A_ROTATION)
    _, _, log = mesh.process.end()
    assert "certificates were changed" in log
    assert log.count("changed certificates are not taken") <= len(changed)


def test_an_authority_is_added_and_the_old_one_removed(mesh: Mesh) -> None:
    ca = Path(mesh.files["tls_ca"])
    old, new = ca.read_bytes(), Path(mesh.foreign.file).read_bytes()

    def called() -> tuple[str, str]:
        found = []
        for authority in (mesh.authority, mesh.foreign):
            with mesh.by_certificate(spiffe("operator/ada"), authority=authority) as channel:
                found.append(mesh.who(stubs.ProbeStub(channel)))
        return found[0], found[1]

    ada = "operator ada"
    assert called() == (ada, NO_CALL)
    with mesh.by_certificate(spiffe("operator/bob")) as kept:
        assert mesh.who(stubs.ProbeStub(kept)) == "operator bob"
        for bundle, expected in (
            (old + new, (ada, ada)),
            (b"", (ada, ada)),
            (b"broken", (ada, ada)),
            (new, (NO_CALL, ada)),
        ):
            ca.with_suffix(".new").write_bytes(bundle)
            os.replace(ca.with_suffix(".new"), ca)
            assert called() == expected
        assert mesh.who(stubs.ProbeStub(kept)) == "operator bob", "a connection goes on with what it began with"
    _, _, log = mesh.process.end()
    assert "believed.pem holds no certificate (PEM); write it anew" in log


def test_whoever_is_no_longer_believed_is_out_when_the_connection_has_its_age(tmp_path: Path) -> None:
    with probe_mesh(tmp_path, connection_seconds="1") as mesh, mesh.by_certificate(spiffe("operator/ada")) as channel:
        stub = stubs.ProbeStub(channel)
        deadline = time.monotonic() + 1.5  # longer than a connection lives
        while time.monotonic() < deadline:
            assert mesh.who(stub) == "operator ada"
            time.sleep(0.01)
        Path(mesh.files["tls_ca"]).write_bytes(Path(mesh.foreign.file).read_bytes())
        while (found := mesh.who(stub)) == "operator ada" and time.monotonic() < deadline + 10:
            time.sleep(0.01)
        assert found == NO_CALL


def set_to(name: str, value: str) -> Callable[[Path, dict[str, str]], None]:
    return lambda _place, settings: settings.update({name: value})


def write(name: str, content: bytes) -> Callable[[Path, dict[str, str]], None]:
    return lambda _place, settings: Path(settings[name]).write_bytes(content) and None


def other_key(place: Path, settings: dict[str, str]) -> None:
    settings["tls_key"] = Authority.new(place / "tls", "x").issue("other")["key"]


def expired(place: Path, settings: dict[str, str]) -> None:
    pair = Authority.new(place / "tls", "x").issue("old", OURS, expires=timedelta(seconds=-5))
    settings |= {"tls_cert": pair["cert"], "tls_key": pair["key"]}


def missing(_place: Path, settings: dict[str, str]) -> None:
    Path(settings["tls_key"]).unlink()


def anyone_enters(place: Path, settings: dict[str, str]) -> None:
    settings["sidecar_id"] = OURS
    (place / "run/sidecar").chmod(0o755)


def nobody_enters(place: Path, settings: dict[str, str]) -> None:
    settings["sidecar_id"] = OURS
    (place / "run/sidecar").rmdir()


async def bind(settings: ServiceSettings) -> None:
    """What a service does with its listeners of the mesh before it serves."""
    server = grpc.aio.server()
    try:
        for listener in mesh_listeners(settings, "probe"):
            listener.bind(server)
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(set_to("tls_ca", ""), "served with certificates only; set STOCKADE_PROBE_TLS_CA too", id="no CA"),
        pytest.param(write("tls_ca", b""), "believed.pem holds no certificate (PEM); write it anew", id="an empty CA"),
        pytest.param(
            write("tls_ca", b"x"), "believed.pem holds no certificate (PEM); write it anew", id="a corrupt CA"
        ),
        pytest.param(write("tls_key", b"x"), "server.key holds no key without a passphrase (PEM)", id="a corrupt key"),
        pytest.param(other_key, "other.key is not the key of", id="another key"),
        pytest.param(expired, "old.pem expired at", id="an expired certificate"),
        pytest.param(missing, "server.key cannot be read: No such file or directory; put the file there", id="no key"),
        pytest.param(set_to("listen", "nowhere"), "nowhere cannot be listened on", id="no port"),
        pytest.param(
            set_to("registry_url", "http://x"), "STOCKADE_PROBE_REGISTRY_URL is no redis://", id="no registry"
        ),
        pytest.param(anyone_enters, "sidecar can be entered by anyone", id="an open directory"),
        pytest.param(nobody_enters, "sidecar is not there; make it, for the sidecar alone to enter", id="no directory"),
    ],
)
async def test_it_does_not_start_by_what_it_cannot_use(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Callable[[Path, dict[str, str]], None], line: str
) -> None:
    directories(tmp_path)
    given = {"listen": f"127.0.0.1:{free_port()}", **served_files(Authority.new(tmp_path / "tls", "ca"))}
    change(tmp_path, given)
    with pytest.raises(SystemExit) as ended:
        await bind(ServiceSettings(run_dir=tmp_path / "run", **given))
    told = [found for found in capfd.readouterr().err.splitlines() if found.startswith("stockade: ")]
    assert ended.value.code == 2
    assert len(told) == 1
    assert line in told[0]


def test_a_process_ends_by_that_line(tmp_path: Path) -> None:
    directories(tmp_path)
    status, _, err = ProbeProcess(tmp_path / "run", tmp_path / "journals", listen="127.0.0.1:1").ended()
    assert (status, err.count("\n")) == (2, 1)
    names = ", ".join(f"STOCKADE_PROBE_TLS_{name}" for name in ("CERT", "KEY", "CA"))
    assert f"STOCKADE_PROBE_LISTEN is served with certificates only; set {names} too" in err
