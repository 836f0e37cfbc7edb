"""Which warm sandboxes a node keeps: of each class, in the tier that its profiles want; and when it makes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
import yaml
from stockade_sandbox.adapters.registry_sqlite import SqliteRegistry
from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.errors import TierUnavailable
from stockade_sandbox.domain.profile import catalogue
from stockade_sandbox.domain.sandbox import Limits, Sandbox, State, Tier, new_name
from stockade_sandbox.pool import QUIET_SECONDS, Pool, Shape, wanted
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.settings import PROFILES, Settings
from stockade_sandbox.uids import Uids

CATALOGUE = catalogue(yaml.safe_load(PROFILES.read_text()))


def rules(*tiers: str) -> Rules:
    return Settings(tiers=tiers).rules()


def test_each_class_waits_in_its_own_tier() -> None:
    shapes = wanted(["default:2", "hostile:1", "default:1"], rules("RUNC", "GVISOR"), CATALOGUE)
    assert {(shape.tier, shape.limits.pids, count) for shape, count in shapes.items()} == {
        (Tier.RUNC, 128, 3),
        (Tier.GVISOR, 512, 1),
    }


def test_a_node_of_one_tier_has_all_in_that() -> None:
    assert {shape.tier for shape in wanted(["default:1", "std:1"], rules("GVISOR"), CATALOGUE)} == {Tier.GVISOR}


@pytest.mark.parametrize("told", ["default", "default:many", "nobody:1", "default:-1"])
def test_what_is_no_class_and_count_is_told(told: str) -> None:
    with pytest.raises(ValueError, match="class:count"):
        wanted([told], rules("RUNC"), CATALOGUE)


def test_a_class_whose_tier_the_node_has_not_is_told() -> None:
    with pytest.raises(TierUnavailable):
        wanted(["hostile:1"], rules("RUNC"), CATALOGUE)


@pytest.mark.parametrize("tiers", [("KVM",), (), ("RUNC", "NAMESPACE"), ("runc",)])
def test_tiers_that_do_not_go_together_are_told(tiers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="TIERS"):
        rules(*tiers)


SHAPE = Shape("an-image", Tier.RUNC, Limits(cpu=1, memory=1 << 20, disk=1 << 20, pids=8))


class Builder:
    """In the assembly's place: what it builds is there at once."""

    async def build(self, member: Sandbox) -> Sandbox:
        return replace(member, init_pid=1)

    def attached(self, _name: str) -> bool:
        return True


@asynccontextmanager
async def keeping(count: int) -> AsyncIterator[tuple[Pool, Sandboxes]]:
    """A pool that has all its members, and makes more at once when it is quiet."""

    async def tell(_sandbox: Sandbox) -> None:
        return

    async def no_digest(_image: str) -> str:
        return ""

    def draft(shape: Shape) -> Sandbox:
        return Sandbox(
            name=new_name(), uid=1, state=State.WARM, image=shape.image, limits=shape.limits, tier=shape.tier, cpus=()
        )

    sandboxes = Sandboxes(SqliteRegistry(":memory:"), "here", tell)
    pool = Pool(
        wanted={SHAPE: count},
        sandboxes=sandboxes,
        assembly=cast(Any, Builder()),
        uids=Uids(1, 9, [], "here"),
        draft=draft,
        digest_of=no_digest,
    )
    running = asyncio.create_task(pool.run())
    try:
        await until_ready(pool, count)
        yield pool, sandboxes
    finally:
        running.cancel()


async def until_ready(pool: Pool, count: int) -> None:
    async with asyncio.timeout(5):
        while pool.ready() < count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_none_is_made_while_one_is_handed_over() -> None:
    async with keeping(3) as (pool, sandboxes):
        claimed = cast(Sandbox, pool.claim(SHAPE))
        sandboxes.begin(replace(claimed, state=State.STARTING))
        await asyncio.sleep(2 * QUIET_SECONDS)
        assert pool.ready() == 2
        await sandboxes.put(replace(claimed, state=State.RUNNING))
        await until_ready(pool, 3)


async def test_after_many_claims_it_is_quiet_for_as_long_as_they_took() -> None:
    async with keeping(12) as (pool, _):
        for _ in range(12):
            assert pool.claim(SHAPE)
            await asyncio.sleep(QUIET_SECONDS / 4)
        await asyncio.sleep(1.5 * QUIET_SECONDS)
        assert pool.ready() == 0
        await until_ready(pool, 12)
