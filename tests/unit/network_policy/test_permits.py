"""Which limit holds for a message."""

import pytest
from stockade_network_policy.domain.permits import DEFAULT_MESSAGE_LIMIT, MessageLimit, counted_as, limit_for

SET = {
    limit.key: limit
    for limit in (
        MessageLimit(messages_per_minute=1, burst=1),
        MessageLimit(agent_type="queen", messages_per_minute=2, burst=2),
        MessageLimit(message_type="task", messages_per_minute=3, burst=3),
        MessageLimit(message_type="task", agent_type="queen", messages_per_minute=4, burst=4),
    )
}

CASES = {
    "of both types": ("task", "queen", "message_type:task, agent_type:queen"),
    "of the message's type": ("task", "worker", "message_type:task"),
    "of the agent's type": ("gossip", "queen", "default, agent_type:queen"),
    "the default": ("gossip", "worker", "default"),
}


@pytest.mark.parametrize(("message_type", "agent_type", "rule"), CASES.values(), ids=CASES)
def test_the_most_particular_limit_holds(message_type: str, agent_type: str, rule: str) -> None:
    assert limit_for(SET, message_type, agent_type).rule == rule


def test_without_any_the_built_in_default_holds() -> None:
    assert limit_for({}, "gossip", "worker") is DEFAULT_MESSAGE_LIMIT


def test_made_up_message_types_share_one_count() -> None:
    names = {counted_as("a1", limit_for(SET, message_type, "worker")) for message_type in ("x", "y", "z")}
    assert len(names) == 1


def test_the_hour_never_binds() -> None:
    limits = MessageLimit(messages_per_minute=10, burst=5).limits()
    assert limits.requests_per_hour >= 60 * limits.requests_per_minute + limits.burst_size
