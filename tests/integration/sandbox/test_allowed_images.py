"""Which images run: any that the operator's list names, by pattern or by digest, whatever is in it."""

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stockade.sandbox.v1 import file_service_pb2, sandbox_pb2

from support.engine import AGENT_IMAGE, EngineInUse
from support.sandbox_service import refused, served_sandboxes
from support.supervised import busybox_image, docker

pytestmark = pytest.mark.docker

SUPERVISORS_PYTHON = ("/opt/stockade/lib/ld.so", "--library-path", "/opt/stockade/lib", "/opt/stockade/bin/python3")


@pytest.fixture(scope="module")
def empty_image(engine: EngineInUse) -> Iterator[str]:
    """An image that holds nothing at all."""
    name = f"stockade-test/empty-{os.getpid()}"
    archive = io.BytesIO()
    tarfile.open(fileobj=archive, mode="w").close()
    docker("import", "-", name, stdin=archive.getvalue())
    yield name
    engine.docker("rmi", "--force", name)


def test_an_image_that_holds_only_busybox(engine: EngineInUse) -> None:
    with served_sandboxes(engine, images="stockade-test/*") as served:
        ada = served.operator()
        name = ada.create(image=busybox_image()).name
        shell = ada.run(name, "sh", "-c", "echo $HOME; id -un; nproc; echo kept > f; cat f")
        assert shell.stdout.split() == [b"/workspace", b"agent", b"1", b"kept"]
        ada.delete(name)


def test_an_image_that_holds_nothing(engine: EngineInUse, empty_image: str) -> None:
    with served_sandboxes(engine, images="stockade-test/*") as served:
        ada = served.operator()
        sandbox = ada.create(image=empty_image)
        assert sandbox.state == sandbox_pb2.SANDBOX_STATE_RUNNING
        found = refused(lambda: ada.run(sandbox.name, "/bin/true"))
        assert (found["reason"], found["metadata"]["errno"]) == ("PROGRAM_NOT_STARTED", "ENOENT")
        done = ada.run(sandbox.name, *SUPERVISORS_PYTHON, "-I", "-S", "-c", "print(6 * 7)")
        assert done.stdout == b"42\n"
        listed = ada.files.ListFiles(file_service_pb2.ListFilesRequest(sandbox=sandbox.name, path="/"))
        assert {found.path for found in listed.files} >= {"workspace", "run", "tmp"}
        ada.delete(sandbox.name)


def test_a_list_by_digest_lets_that_very_image_run(engine: EngineInUse) -> None:
    digest = engine.docker("image", "inspect", "--format", "{{.Id}}", AGENT_IMAGE)
    with served_sandboxes(engine, images=digest, default_image=digest) as served:
        ada = served.operator()
        assert ada.create(image=digest).image_digest == digest
        assert ada.create().image_digest == digest
        with another_image(engine) as other:
            for image in (AGENT_IMAGE, other, digest[:-1], "stockade/agent@" + digest):
                assert refused(lambda image=image: ada.create(image=image))["reason"] == "IMAGE_NOT_ALLOWED", image


@contextmanager
def another_image(engine: EngineInUse) -> Iterator[str]:
    """An image off the list, by its digest."""
    container = engine.docker("create", "--network", "none", AGENT_IMAGE)
    digest = engine.docker("commit", "--change", "LABEL other=yes", container)
    engine.docker("rm", container)
    try:
        yield digest
    finally:
        engine.docker("rmi", "--force", digest)
