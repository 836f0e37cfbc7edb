"""Our own clients by mutual TLS: what they reach, and the one typed error of each way not to be believed."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from stockade_agent import AsyncStockade, InvalidRequest, Refused, StockadeError, Tls, Untrusted
from stockade_agent.client import typed_errors
from stockade_rpckit.certificates import CertificatesUnusable, Files
from stockade_rpckit.channel import connect

from support.probe import messages, stubs
from support.probe_mesh import Mesh, probe_mesh, spiffe

ADA = spiffe("operator/ada")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with probe_mesh(tmp_path_factory.mktemp("mesh")) as mesh:
        yield mesh


def files(mesh: Mesh, *uris: str, **options: timedelta) -> Tls:
    pair = mesh.authority.issue("client", *(uris or (ADA,)), **options)
    return Tls(mesh.authority.file, pair["cert"], pair["key"])


async def who(address: str, tls: Tls | None) -> str:
    """Who the service says calls, by the SDK."""
    async with AsyncStockade.connect(address=address, tls=tls) as stockade:
        with typed_errors():
            answer = await stockade.stub(stubs.ProbeStub, "audit").Who(messages.Ask(name="x"), timeout=5)
    return str(answer.text)


async def test_a_certificate_says_who_calls(mesh: Mesh) -> None:
    for address in (f"localhost:{mesh.port}", f"audit=127.0.0.1:{mesh.port},cache=127.0.0.1:1"):
        assert await who(address, files(mesh)) == "operator ada"


async def test_the_environment_names_address_and_files(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = files(mesh)
    named = {"ADDRESS": f"localhost:{mesh.port}", "TLS_CA": tls.ca, "TLS_CERT": tls.cert, "TLS_KEY": tls.key}
    for name, value in named.items():
        monkeypatch.setenv(f"STOCKADE_STACK_{name}", value)
    async with AsyncStockade.connect() as stockade:
        answer = await stockade.stub(stubs.ProbeStub, "policy").Who(messages.Ask(name="x"), timeout=5)
    assert answer.text == "operator ada"


def foreign_ca(mesh: Mesh) -> Tls:
    ours = files(mesh)
    return Tls(mesh.foreign.file, ours.cert, ours.key)


def foreign_certificate(mesh: Mesh) -> Tls:
    pair = mesh.foreign.issue("stranger", ADA)
    return Tls(mesh.authority.file, pair["cert"], pair["key"])


def expired(mesh: Mesh) -> Tls:
    return files(mesh, expires=timedelta(seconds=-5))


def another_name(mesh: Mesh) -> Tls:
    ours = files(mesh)
    return Tls(ours.ca, ours.cert, ours.key, name="elsewhere.example")


def no_certificate(mesh: Mesh) -> Tls:
    return Tls(mesh.authority.file)


def no_key(mesh: Mesh) -> Tls:
    return Tls(mesh.authority.file, files(mesh).cert)


def another_key(mesh: Mesh) -> Tls:
    return Tls(mesh.authority.file, files(mesh).cert, mesh.foreign.issue("stranger", ADA)["key"])


def no_such_file(mesh: Mesh) -> Tls:
    return Tls("/nowhere/ca.pem", "", "")


def empty_ca(mesh: Mesh) -> Tls:
    empty = Path(mesh.place / "empty.pem")
    empty.touch()
    return Tls(str(empty))


@pytest.mark.parametrize(
    ("tls", "line"),
    [
        (foreign_ca, "the server's certificate is of no authority that is believed here; name its CA"),
        (foreign_certificate, "the server ended the connection at once: it may not believe our certificate"),
        (no_certificate, "the server ended the connection at once: it may not believe our certificate, or want one"),
        (another_name, "the server's certificate is for another name; name it as TLS_NAME"),
        (expired, "client.pem expired at "),
        (no_key, "a certificate and its key go together"),
        (another_key, "are no certificate and its key: KEY_VALUES_MISMATCH"),
        (no_such_file, "/nowhere/ca.pem holds no authority's certificate (PEM): No such file or directory"),
        (empty_ca, "empty.pem holds no authority's certificate (PEM)"),
    ],
)
async def test_who_is_not_believed_is_told_so(mesh: Mesh, tls: Callable[[Mesh], Tls], line: str) -> None:
    with pytest.raises(Untrusted) as failed:
        await who(f"localhost:{mesh.port}", tls(mesh))
    assert line in failed.value.message
    assert "\n" not in failed.value.message


async def test_one_that_names_nobody_is_refused(mesh: Mesh) -> None:
    with pytest.raises(Refused) as failed:
        await who(f"localhost:{mesh.port}", files(mesh, "spiffe://elsewhere/operator/ada"))
    assert failed.value.reason == "IDENTITY_REFUSED"


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("stockade.example:9443", "wants TLS; name its authority in STOCKADE_STACK_TLS_CA"),
        ("192.0.2.1:9443", "wants TLS"),
        ("localhost", "is no host:port and no unix:/path"),
        ("sandbox=localhost:1,localhost:2", "names no services"),
        ("mail=localhost:1", "names no services"),
        ("sandbox=localhost:1", "no address is given for audit; add audit=host:port"),
    ],
)
async def test_an_address_that_is_none(address: str, line: str) -> None:
    with pytest.raises(InvalidRequest) as failed:
        await who(address, None)
    assert line in failed.value.message


async def test_in_clear_to_a_port_of_certificates(mesh: Mesh) -> None:
    with pytest.raises(StockadeError):
        await who(f"localhost:{mesh.port}", None)


async def test_a_service_calls_another_by_its_own_certificate(mesh: Mesh) -> None:
    ours = files(mesh, spiffe("service/policy"))
    paths = Files(*map(Path, (ours.cert, ours.key, ours.ca)))
    async with connect(f"localhost:{mesh.port}", paths) as channel:
        assert (await stubs.ProbeStub(channel).Who(messages.Ask(name="x"), timeout=5)).text == "service policy"
    with pytest.raises(CertificatesUnusable, match="cannot be read"):
        connect(f"localhost:{mesh.port}", Files(Path("/nowhere"), paths.key, paths.ca))
