"""The doors inside one sandbox as the host wants them, and whether its supervisor has heard."""

import asyncio

from stockade_sandbox.supervision.link import Link
from stockade_sandbox.supervisor import frames


class Doors:
    """Belongs to one event loop. `wanted`: whether there are ways out."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._heard: asyncio.Future[None] | None = None

    def tell(self, link: Link) -> None:
        """Says what is wanted."""
        if self._heard is None or self._heard.done():
            self._heard = asyncio.get_running_loop().create_future()
        link.send_json(frames.CONFIGURE, 0, {"doors": self.wanted})

    def heard(self) -> None:
        """They are as they were wanted. Raises FrameError where nobody asked for that."""
        if self._heard is None:
            raise frames.FrameError("CONFIGURED out of turn")
        if not self._heard.done():
            self._heard.set_result(None)

    async def done(self, timeout_s: float) -> None:
        """Returns once they are. Raises TimeoutError, at once where nobody has been told."""
        if self._heard is None:
            raise TimeoutError
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(self._heard)
