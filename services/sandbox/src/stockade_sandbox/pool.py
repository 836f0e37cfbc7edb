"""Started sandboxes that nobody has used yet, so that a claim makes no call to the engine.

A member is whole but for an agent and a door. Once claimed it is that agent's until it ends; it never comes back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from stockade_rpckit.logs import get_logger

from stockade_sandbox.assembly import Assembly
from stockade_sandbox.domain import admission
from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.errors import ImageMissing, SandboxError
from stockade_sandbox.domain.profile import Catalogue
from stockade_sandbox.domain.sandbox import Limits, Sandbox, State, Tier
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.uids import Uids

log = get_logger(__name__)

LOOK_SECONDS = 1.0
QUIET_SECONDS = 0.2
"""Nothing is made while claims are under way, nor for so long after: the host's cores are theirs."""
MOST_QUIET_SECONDS = 1.0
"""After many at once it is quiet for as long as they took, since their first commands do too; never for longer."""
FAILED_SECONDS = 5.0
"""How long to wait after a member could not be made."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What members have in common, and a claim must want exactly."""

    image: str
    tier: Tier
    limits: Limits


class Pool:
    """Keeps as many members of each shape as it was told. Its methods belong to one event loop."""

    def __init__(
        self,
        *,
        wanted: Mapping[Shape, int],
        sandboxes: Sandboxes,
        assembly: Assembly,
        uids: Uids,
        draft: Callable[[Shape], Sandbox],
        digest_of: Callable[[str], Awaitable[str]],
    ) -> None:
        """`draft` makes the value of a new member, with a name, a uid and cores, in state WARM.

        `digest_of` tells which image a name leads to. Raises ImageMissing, EngineUnavailable.
        """
        self._wanted, self._sandboxes, self._assembly, self._uids = wanted, sandboxes, assembly, uids
        self._draft, self._digest_of = draft, digest_of
        self._digests: dict[str, str] = {}
        self._ready: dict[Shape, list[str]] = {shape: [] for shape in wanted}
        self._making: set[str] = set()
        self._claims_began = self._claims_seen = 0.0
        self.claims = Counter({"warm": 0, "cold": 0})
        """Claims so far, by whether there was a member."""
        self._woken = asyncio.Event()

    def claim(self, shape: Shape) -> Sandbox | None:
        """A member of that shape, now the caller's; None when there is none that lives."""
        self._see_claims()
        self._woken.set()
        ready = self._ready.get(shape, [])
        while ready:
            name = ready.pop(0)
            member = self._sandboxes.get(name)
            if self._assembly.attached(name) and self._is_current(member):
                self.claims["warm"] += 1
                return member
        self.claims["cold"] += 1
        return None

    def give_back(self, member: Sandbox) -> None:
        """One that was claimed and not used after all can be claimed again."""
        self._ready[Shape(member.image, member.tier, member.limits)].insert(0, member.name)

    def ready(self) -> int:
        """How many can be claimed."""
        return sum(map(len, self._ready.values()))

    def wanted(self) -> int:
        """How many it is to keep ready."""
        return sum(self._wanted.values())

    def owns(self, name: str) -> bool:
        """Whether a WARM sandbox is this process's own, ready or being made."""
        return name in self._making or any(name in ready for ready in self._ready.values())

    async def run(self) -> None:
        """Make what is missing, one at a time, for ever."""
        while True:
            shape = self._missing()
            if shape is None:
                await self._wait(LOOK_SECONDS)
            elif self._claims_come_in():
                await asyncio.sleep(QUIET_SECONDS / 4)
            elif not await self._made(shape):
                await asyncio.sleep(FAILED_SECONDS)

    async def refresh(self) -> None:
        """Remove members whose image's name leads to another one by now. Raises EngineUnavailable."""
        for image in {shape.image for shape in self._wanted}:
            try:
                self._digests[image] = await self._digest_of(image)
            except ImageMissing:
                self._digests[image] = ""
        members = [self._sandboxes.get(name) for ready in self._ready.values() for name in ready]
        for member in members:
            if not self._is_current(member):
                await self.discard(member.name)

    async def discard(self, name: str) -> None:
        """Remove a member that nobody claimed. Raises EngineUnavailable; call it again then."""
        for ready in self._ready.values():
            if name in ready:
                ready.remove(name)
        await self._assembly.take_down(name, "nobody claimed it")
        self._uids.give_back(self._sandboxes.get(name).uid)
        await self._sandboxes.forget(name)

    async def drain(self) -> None:
        """Remove all members: the service stops, and the next one makes its own."""
        names = [name for ready in self._ready.values() for name in ready]
        await asyncio.gather(*map(self.discard, names), return_exceptions=True)

    def _claims_come_in(self) -> bool:
        """Whether members are being handed over, or were a moment ago."""
        if any(sandbox.state is State.STARTING and sandbox.init_pid for sandbox in self._sandboxes.living()):
            self._see_claims()
        took = self._claims_seen - self._claims_began
        return time.monotonic() - self._claims_seen < min(max(took, QUIET_SECONDS), MOST_QUIET_SECONDS)

    def _see_claims(self) -> None:
        now = time.monotonic()
        if now - self._claims_seen > QUIET_SECONDS:
            self._claims_began = now
        self._claims_seen = now

    def _missing(self) -> Shape | None:
        lacking = (shape for shape, count in self._wanted.items() if len(self._ready[shape]) < count)
        return next(lacking, None)

    async def _made(self, shape: Shape) -> bool:
        """Whether there is one more. What is left of one that failed is nobody's, and removed by the next sweep."""
        try:
            await self._make(shape)
        except SandboxError as error:
            log.warning("a warm sandbox could not be made", extra={"image": shape.image, "error": str(error)})
            return False
        except Exception:
            log.exception("a warm sandbox could not be made", extra={"image": shape.image})
            return False
        return True

    async def _make(self, shape: Shape) -> None:
        member = self._draft(shape)
        self._making.add(member.name)
        try:
            await self._sandboxes.put(member)
            built = await self._sandboxes.put(await self._assembly.build(member))
            if self._is_current(built):
                self._ready[shape].append(member.name)
            else:  # the name moved meanwhile
                await self.discard(member.name)
        except SandboxError:
            self._uids.give_back(member.uid)
            await self._sandboxes.forget(member.name)
            raise
        finally:
            self._making.discard(member.name)

    def _is_current(self, member: Sandbox) -> bool:
        return self._digests.get(member.image, member.image_digest) == member.image_digest

    async def _wait(self, seconds: float) -> None:
        self._woken.clear()
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return


def wanted(told: Iterable[str], rules: Rules, profiles: Catalogue) -> dict[Shape, int]:
    """Shapes and how many of each, from settings of the form class:count.

    Profiles of one class have the same figures and tier, so the first of a class stands for it. Raises ValueError, and
    TierUnavailable for a class whose tier this node has not.
    """
    classes = {profile.sandbox_class: profile for profile in profiles.all()}
    counts: Counter[Shape] = Counter()
    for text in told:
        name, _, count = text.partition(":")
        if name not in classes or not count.isdigit():
            raise ValueError(f"want class:count, with a class of {', '.join(sorted(classes))}, not {text!r}")
        tier = admission.chosen_tier(classes[name].tier, None, rules)
        counts[Shape(rules.default_image, tier, classes[name].limits)] += int(count)
    return dict(counts)
