"""`stockade audit rotate-key`: another key signs from here on."""

import click
from stockade.audit.v1 import integrity_service_pb2, integrity_service_pb2_grpc

from stockade_cli.connection import stub

SERVICE = integrity_service_pb2_grpc.IntegrityServiceStub


@click.command("rotate-key")
@click.argument("journal", default="")
def rotate_key(journal: str) -> None:
    """Replace the key of a JOURNAL, or of the heads if none is given. The old key signs the new one."""
    with stub(SERVICE, "audit") as service:
        click.echo(service.RotateKey(integrity_service_pb2.RotateKeyRequest(journal=journal)).key)
