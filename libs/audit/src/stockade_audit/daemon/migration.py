"""`stockade-auditd migrate`: the tables in PostgreSQL, taken to a version."""

import psycopg
from stockade_rpckit.settings import refuse

from stockade_audit.daemon.adapters import postgres_schema
from stockade_audit.daemon.adapters.postgres import check_url
from stockade_audit.daemon.settings import AuditSettings
from stockade_audit.errors import AuditError


def migrate(settings: AuditSettings, to: int | None) -> int:
    """Migrate the databases that the settings name, and say so. The process's status: 1 when one cannot be reached."""
    version = postgres_schema.NEWEST if to is None else to
    if not 0 <= version <= postgres_schema.NEWEST:
        refuse(f"there is no version {version}: choose 0 to {postgres_schema.NEWEST}")
    urls = {url for url in (settings.ship_to, settings.witness) if url.startswith(("postgresql:", "postgres:"))}
    if not urls:
        refuse("neither STOCKADE_AUDIT_SHIP_TO nor STOCKADE_AUDIT_WITNESS is a postgresql:// URL: nothing to migrate")
    try:
        for url in sorted(urls):
            check_url(url)
            before, after = postgres_schema.migrate(url, version)
            print(f"version {before} -> {after}" if before != after else f"version {after} already")
    except AuditError as error:
        refuse(str(error))
    except psycopg.Error as error:
        print(f"stockade: PostgreSQL: {' '.join(str(error).split())}")
        return 1
    return 0
