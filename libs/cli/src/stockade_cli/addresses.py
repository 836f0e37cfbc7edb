"""Where the command itself listens: ADDRESS:PORT."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import click


@dataclass(frozen=True)
class Listening:
    """A numeric address and a port."""

    address: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


class Address(click.ParamType[Listening]):
    """A click parameter type that yields Listening: 127.0.0.1:8765 or [::1]:8765."""

    name = "address"

    def __init__(self, example: str) -> None:
        """`example` is what a wrong value is answered with."""
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Listening:
        if isinstance(value, Listening):
            return value
        host, _, port = value.rpartition(":")
        try:
            return Listening(ip_address(host.strip("[]")), int(port))
        except ValueError:
            self.fail(f"{value!r} is no ADDRESS:PORT, e.g. {self._example}", param, ctx)
