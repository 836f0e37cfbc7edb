"""A supervisor that hung up: it comes back, or its container is gone, or neither in time."""

import asyncio

from stockade_sandbox.supervision.keeper import Fate, Keeper

_TIMEOUT_S = 10.0


async def end_of_absence(sandbox: str, back: asyncio.Event, keeper: Keeper) -> Fate | None:
    """What became of the container, once it runs no more; None once the supervisor is `back`.

    Raises TimeoutError where it runs on, not paused, for ten seconds without its supervisor.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TIMEOUT_S
    pause_s = 0.01
    while not back.is_set():
        fate = await keeper.fate(sandbox)
        if not fate.running:
            return fate
        if fate.paused:
            deadline = loop.time() + _TIMEOUT_S
        if loop.time() > deadline:
            raise TimeoutError
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.5)
    return None
