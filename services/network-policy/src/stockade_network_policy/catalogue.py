"""The policies as the judge has them: compiled, in memory, in force within a second of a change anywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from stockade_rpckit import threads

from stockade_network_policy.domain.errors import PoliciesUnavailable, PolicyNotFound
from stockade_network_policy.domain.policy import DEFAULT, Policy, Rules, plain_type, tightens
from stockade_network_policy.domain.ports import PolicyStore, Write


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """What held for an agent type before and after; `default` stands for every type without a policy."""

    agent_type: str
    before: Policy
    after: Policy

    @property
    def tightens(self) -> bool:
        """Whether something was taken away that an open tunnel could be using."""
        return tightens(self.before, self.after)


Listener = Callable[[PolicyChanged], Awaitable[None]]


class Catalogue:
    """Answers which rules hold for an agent type, and takes changes to the store."""

    def __init__(self, store: PolicyStore, aliases: Mapping[str, str]) -> None:
        self.store = store
        self._aliases = dict(aliases)
        self._rules: dict[str, Rules] = {}
        self._revision = -1
        self._listeners: list[Listener] = []
        self._loading = asyncio.Lock()

    def plain_type(self, agent_type: str) -> str:
        """The stored name of an agent type: without `qe-`, aliases resolved."""
        return plain_type(agent_type, self._aliases)

    def rules(self, agent_type: str) -> Rules:
        """The rules that hold for a type as its agents name it: its own, or those of `default`."""
        return self._rules.get(agent_type) or self._rules.get(self.plain_type(agent_type)) or self._rules[DEFAULT]

    def own(self, agent_type: str) -> Policy:
        """The policy of the type itself. Raises PolicyNotFound."""
        plain = self.plain_type(agent_type)
        if plain not in self._rules:
            raise PolicyNotFound(plain)
        return self._rules[plain].policy

    def policies(self) -> list[Policy]:
        """Every policy, by agent type."""
        return [self._rules[agent_type].policy for agent_type in sorted(self._rules)]

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` after each change is in force; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def write(self, writes: Sequence[Write], *, by: str) -> list[Policy]:
        """Changes the store and returns once the change is in force here."""
        stored = await threads.run(self.store.write, writes, by=by, now_ns=time.time_ns())
        await self.refresh()
        return stored

    async def refresh(self) -> None:
        """Takes over what the store has now, compiles what changed, and tells the listeners.

        Raises PoliciesUnavailable; then what was in force still is.
        """
        async with self._loading:
            revision = await threads.run(self.store.revision)
            if revision == self._revision:
                return
            before = self._rules
            self._rules = await threads.run(self._compiled, before)
            self._revision = revision
        for change in _changes(before, self._rules):
            for listener in tuple(self._listeners):
                await listener(change)

    def _compiled(self, before: Mapping[str, Rules]) -> dict[str, Rules]:
        policies = self.store.policies()
        if before and not any(policy.agent_type == DEFAULT for policy in policies):
            raise PoliciesUnavailable("the store of policies has lost `default`: restore it from a backup")
        return {policy.agent_type: _compile(policy, before.get(policy.agent_type)) for policy in policies}


def _compile(policy: Policy, before: Rules | None) -> Rules:
    return before if before is not None and before.policy == policy else Rules(policy)


def _changes(before: Mapping[str, Rules], after: Mapping[str, Rules]) -> list[PolicyChanged]:
    if not before:
        return []
    return [
        PolicyChanged(agent_type, old.policy, new.policy)
        for agent_type in sorted(before.keys() | after.keys())
        if (old := before.get(agent_type, before[DEFAULT])) is not (new := after.get(agent_type, after[DEFAULT]))
    ]
