"""The service's metrics beside those that every service has."""

from collections.abc import Sequence

from stockade_rpckit.metrics import Reading

from stockade_network_policy.domain.decision import Verdict
from stockade_network_policy.follower import Follower
from stockade_network_policy.gate.gate import Gate
from stockade_network_policy.judgement import Judgement


def readings(judgement: Judgement, gate: Gate, followers: Sequence[Follower]) -> list[Reading]:
    """Decisions by verdict, what the gate holds open, and how old may be what it is decided by."""
    decisions = judgement.decisions

    def verdicts() -> dict[str, float]:
        names = [verdict.name.lower() for verdict in Verdict]
        return {name: judgement.verdicts[name] for name in names}

    return [
        Reading("stockade_decisions_total", "Decisions given, by verdict.", verdicts, label="verdict"),
        Reading("stockade_decisions_awaiting", "Allowed requests that have not ended.", decisions.awaiting),
        Reading("stockade_tunnels_open", "Tunnels among them.", lambda: sum(1 for _ in decisions.open_tunnels())),
        Reading("stockade_doors", "Sandboxes that have a door.", lambda: sum(1 for _ in gate.doors.all())),
        Reading(
            "stockade_policies_age_seconds",
            "Time since the store last said which policies hold.",
            lambda: max(follower.age_s for follower in followers),
        ),
    ]
