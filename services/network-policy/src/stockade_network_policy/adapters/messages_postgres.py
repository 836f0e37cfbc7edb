"""Limits of messages in PostgreSQL, beside the policies."""

from __future__ import annotations

from stockade_rpckit.postgres import Database

from stockade_network_policy.domain.permits import MessageLimit


class PostgresMessageLimits:
    """See `MessageLimitStore`; both raise PoliciesUnavailable where the database does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[MessageLimit]:
        """See `MessageLimitStore`."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT message_type, agent_type, messages_per_minute, burst FROM stockade_policy.message_limits"
            ).fetchall()
        return [
            MessageLimit(message_type=message_type, agent_type=agent_type, messages_per_minute=rate, burst=burst)
            for message_type, agent_type, rate, burst in rows
        ]

    def put(self, limit: MessageLimit) -> None:
        """See `MessageLimitStore`."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO stockade_policy.message_limits (message_type, agent_type, messages_per_minute, burst)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT (message_type, agent_type)"
                " DO UPDATE SET messages_per_minute = excluded.messages_per_minute, burst = excluded.burst",
                (limit.message_type, limit.agent_type, limit.messages_per_minute, limit.burst),
            )

    def close(self) -> None:
        """See `MessageLimitStore`."""
        self._database.close()
