"""Claims of room and quota for sandboxes that are about to be made."""

from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.ports import Claim
from stockade_sandbox.domain.sandbox import Request, Sandbox
from stockade_sandbox.membership import Membership
from stockade_sandbox.pool import Pool
from stockade_sandbox.requests import digest_of
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.uids import Uids


class Claims:
    """A claim holds in the whole fleet, or leaves nothing. Its methods belong to one event loop."""

    def __init__(self, membership: Membership, sandboxes: Sandboxes, pool: Pool, uids: Uids, rules: Rules) -> None:
        self._membership, self._sandboxes, self._pool = membership, sandboxes, pool
        self._uids, self._rules = uids, rules

    async def elsewhere(self, sandbox: Sandbox, request: Request) -> Sandbox | None:
        """The sandbox that the request has made on another node; None once this one is counted and placed here.

        Raises QuotaExceeded, RequestIdReused, FleetUnavailable.
        """
        before = self._sandboxes.begin(sandbox)
        others = [each.owner for each in self._sandboxes.living() if each is not sandbox]
        try:
            made = await self._membership.claim(self._claim(sandbox, request), others.count(sandbox.owner))
        except BaseException:
            self._withdraw(sandbox, before)
            raise
        if made is not None:
            self._withdraw(sandbox, before)
        return made

    def stands(self, sandbox: Sandbox) -> bool:
        """Whether it has not been given up meanwhile for one that another node makes."""
        return sandbox.name not in self._membership.given_up

    def _claim(self, sandbox: Sandbox, request: Request) -> Claim:
        return Claim(
            sandbox=sandbox,
            quota=self._rules.sandboxes_per_owner,
            request_id=request.request_id,
            digest=digest_of(request) if request.request_id else "",
        )

    def _withdraw(self, sandbox: Sandbox, before: Sandbox | None) -> None:
        self._sandboxes.withdraw(sandbox.name, before)
        if before is not None:
            self._pool.give_back(before)
        else:
            self._uids.give_back(sandbox.uid)
