"""`stockade-auditd migrate`: the tables of the copy and the witness in PostgreSQL, taken to a version."""

import argparse

from stockade_rpckit import migrations
from stockade_rpckit.postgres import UrlRefused, check_url, is_url
from stockade_rpckit.settings import refuse

from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.settings import AuditSettings


def migrate(settings: AuditSettings, arguments: argparse.Namespace) -> int:
    """Migrate the databases that the settings name, and say so. The process's status: 1 when one cannot be reached."""
    urls = {url for url in (settings.ship_to, settings.witness, settings.fleet) if is_url(url)}
    if not urls:
        refuse("none of STOCKADE_AUDIT_SHIP_TO, _WITNESS and _FLEET is a postgresql:// URL: nothing to migrate")
    try:
        for url in urls:
            check_url(url)
    except UrlRefused as error:
        refuse(str(error))
    return migrations.run_command(SCHEMA, urls, arguments)
