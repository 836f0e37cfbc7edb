"""What lies outside a test's stack, on addresses of its own: origins that may be reached and that may not be.

| who | reached only if |
| --- | --- |
| `ok` | policy allows the name |
| `evil` | its name were allowed: its address is an exception of the gate |
| `private` | its address were: names that policy allows lead there |
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support import dns, origins
from support.origins import Authority, Origin


@dataclass(frozen=True)
class Site:
    """One address with an origin on port 80 and another, in TLS, on 443."""

    plain: Origin
    tls: Origin

    @property
    def address(self) -> str:
        """Where both listen."""
        return self.plain.address

    @property
    def endpoints(self) -> tuple[str, str]:
        """Both, as `address:port`."""
        return self.plain.endpoint, self.tls.endpoint

    def untouched(self) -> bool:
        """Whether nobody connected."""
        return self.plain.untouched() and self.tls.untouched()


@dataclass(frozen=True)
class Outside:
    """The world behind a gate. `zone` is its name server, `authority` signs its certificates."""

    ok: Site
    evil: Site
    private: Site
    zone: dns.Zone
    authority: Authority

    @property
    def exceptions(self) -> str:
        """What the gate has to be told that it may reach of this machine."""
        return ",".join((*self.ok.endpoints, *self.evil.endpoints))

    def forget(self) -> None:
        """Begin to count anew."""
        self.zone.queries.clear()
        for site in (self.ok, self.evil, self.private):
            for seen in (site.plain, site.tls):
                seen.connections = seen.bytes = 0
                seen.heads.clear()


@asynccontextmanager
async def outside(
    addresses: Sequence[str], directory: Path, *names: str, resolver: str = "127.0.0.1"
) -> AsyncIterator[Outside]:
    """A world on these three addresses, whose certificate holds for `names`; `directory` keeps its files."""
    authority = origins.authority(directory, *names)
    async with AsyncExitStack() as exits:

        async def site(address: str) -> Site:
            plain = await exits.enter_async_context(origins.origin(address, port=80))
            tls = await exits.enter_async_context(origins.origin(address, authority.server, port=443))
            return Site(plain, tls)

        zone = await exits.enter_async_context(dns.serving(dns.Zone(host=resolver)))
        ok, evil, private = [await site(address) for address in addresses]
        yield Outside(ok, evil, private, zone, authority)
