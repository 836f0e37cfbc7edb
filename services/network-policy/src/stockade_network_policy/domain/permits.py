"""Limits of the messages that agents send each other: per message type, with overrides per agent type and a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stockade_network_policy.domain.policy import Limits

Key = tuple[str, str]
"""Message type and agent type; empty stands for every one without a limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimit:
    """How many messages may pass, a minute and at once."""

    message_type: str = ""
    agent_type: str = ""
    messages_per_minute: int
    burst: int

    @property
    def key(self) -> Key:
        """What the limit is for."""
        return self.message_type, self.agent_type

    @property
    def rule(self) -> str:
        """The limit's name in an answer: "message_type:task.handoff", "default", with the agent type of an override."""
        name = f"message_type:{self.message_type}" if self.message_type else "default"
        return f"{name}, agent_type:{self.agent_type}" if self.agent_type else name

    def limits(self) -> Limits:
        """The same as a bucket; the hour never binds."""
        an_hour = self.messages_per_minute * 61 + self.burst
        return Limits(requests_per_minute=self.messages_per_minute, requests_per_hour=an_hour, burst_size=self.burst)


DEFAULT_MESSAGE_LIMIT = MessageLimit(messages_per_minute=120, burst=30)


def limit_for(limits: Mapping[Key, MessageLimit], message_type: str, agent_type: str) -> MessageLimit:
    """The most particular limit: of both types, of the message's, of the agent's, the default."""
    keys = ((message_type, agent_type), (message_type, ""), ("", agent_type), ("", ""))
    return next((limits[key] for key in keys if key in limits), DEFAULT_MESSAGE_LIMIT)


def counted_as(agent: str, limit: MessageLimit) -> str:
    """Under which name an agent's messages are counted: types without a limit of their own share the default's."""
    return f"{agent}/messages/{limit.message_type}"
