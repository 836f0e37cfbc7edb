"""What the audit record says of sandboxes."""

import hashlib
from contextlib import suppress
from typing import Any

from stockade_audit import Action, Entry, Journal, RecordUnavailable

from stockade_sandbox.domain.sandbox import LOST_REASONS, Sandbox


def facts(sandbox: Sandbox) -> dict[str, Any]:
    """What every entry about a sandbox says of it; that no gate stands in front of a HOST one, too."""
    return {
        "agent": sandbox.agent,
        "agent_type": sandbox.agent_type,
        "sandbox": sandbox.name,
        "metadata": {
            "image": sandbox.image,
            "tier": sandbox.tier.name,
            "profile": sandbox.profile,
            "network_mode": sandbox.network_mode.name,
            "gated": sandbox.gated,
            "node": sandbox.node,
        },
    }


async def record_start(journal: Journal, profiles: bytes) -> None:
    """Say that the service begins, and by its SHA-256 to which file of profiles it holds agents from here on.

    Where the record cannot be written, its own gap says so: the service starts, and refuses what it cannot record.
    """
    digest = hashlib.sha256(profiles).hexdigest()
    entry = Entry(action=Action.SERVICE_STARTED, resource="profiles", metadata={"sha256": digest})
    with suppress(RecordUnavailable):
        await journal.append(entry)


class Ends:
    """Records what no call's own entry tells: ends that nobody asked for, and each sandbox that a fork made."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def forked(self, sandbox: Sandbox, source: str) -> None:
        """Durable on return. Raises RecordUnavailable."""
        fields = facts(sandbox)
        fields["metadata"]["forked_from"] = source
        await self._journal.append(
            Entry(
                action=Action.SANDBOX_CREATED,
                service="sandbox",
                principal_kind="service",
                principal="sandbox",
                resource=sandbox.name,
                trace_id=sandbox.trace_id,
                **fields,
            )
        )

    async def record(self, sandbox: Sandbox) -> None:
        """Durable on return. Raises RecordUnavailable."""
        fields = facts(sandbox)
        fields["metadata"]["detail"] = sandbox.message
        await self._journal.append(
            Entry(
                action=Action.SANDBOX_LOST if sandbox.reason in LOST_REASONS else Action.SANDBOX_DELETED,
                service="sandbox",
                principal_kind="service",
                principal="sandbox",
                reason=sandbox.reason.value,
                trace_id=sandbox.trace_id,
                **fields,
            )
        )
