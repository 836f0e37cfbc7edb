"""Whether this node takes new sandboxes."""

from stockade_sandbox.domain.ports import Registry

CORDONED = "cordoned"


class Cordon:
    """Remembered through restarts."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.drawn = False
        """Whether it takes none."""

    async def load(self) -> None:
        """Take what the registry remembers."""
        self.drawn = await self._registry.flag(CORDONED)

    async def draw(self, drawn: bool) -> None:
        """Take no new sandboxes, or take them again. Durable on return."""
        await self._registry.set_flag(CORDONED, drawn)
        self.drawn = drawn
