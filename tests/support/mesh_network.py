"""Hosts as network namespaces with a card each on one switch; the machine's own namespace sees nothing of it.

Only the network is a host's own: files, mounts and Unix sockets are the machine's, and one Docker engine serves all.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000  # sched.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    """A namespace with loopback and one card, `eth0`, whose other end is a port of the switch."""

    name: str
    address: str
    namespace: str
    switch: str

    def inside(self, *command: str | Path) -> list[str]:
        """The command line that runs `command` there. `ip netns exec` would hide mounts made there from the engine."""
        return ["nsenter", f"--net={_NAMESPACES / self.namespace}", "--", *map(str, command)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread makes in the block are the host's, for good."""
        with open("/proc/thread-self/ns/net") as before, open(_NAMESPACES / self.namespace) as own:
            _set_namespace(own.fileno())
            try:
                yield
            finally:
                _set_namespace(before.fileno())

    def add_address(self, address: str) -> str:
        """Give its card a further address, below 10.77."""
        _ip("-n", self.namespace, "address", "add", f"{address}/16", "dev", "eth0")
        return address

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self.switch, "link", "set", "dev", self.name, "down")

    def join(self) -> None:
        """Put it back."""
        _ip("-n", self.switch, "link", "set", "dev", self.name, "up")

    @contextmanager
    def parted_from(self, other: "Host") -> Iterator[None]:
        """While the block runs, packets between the two are lost without a word; all other ways stay open."""
        self._nft("add table ip parted")
        for hook, end in (("output", "daddr"), ("input", "saddr")):
            self._nft(f"add chain ip parted {hook} {{ type filter hook {hook} priority 0; }}")
            self._nft(f"add rule ip parted {hook} ip {end} {other.address} drop")
        try:
            yield
        finally:
            self._nft("delete table ip parted")

    def kill(self) -> None:
        """End every process of the host at once, as a power cut does."""
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], check=True, capture_output=True, text=True)
        for pid in map(int, listed.stdout.split()):
            if pid != os.getpid():  # a thread of ours may have entered
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _nft(self, rules: str) -> None:
        subprocess.run(self.inside("nft", "-f", "-"), input=rules, check=True, text=True)


@contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Hosts with these names, at most eight letters each, that reach each other and nothing else."""
    prefix = f"sm{os.getpid()}"
    switch = f"{prefix}-switch"
    with ExitStack() as exits:
        _add_namespace(switch, exits)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "dev", "br0", "up")
        hosts = {name: Host(name, f"10.77.0.{n}", f"{prefix}-{name}", switch) for n, name in enumerate(names, 2)}
        for host in hosts.values():
            _add_namespace(host.namespace, exits)
            exits.callback(host.kill)
            _plug(host)
        yield hosts


def _plug(host: Host) -> None:
    port = ("peer", "name", host.name, "netns", host.switch)
    _ip("-n", host.namespace, "link", "add", "eth0", "type", "veth", *port)
    _ip("-n", host.namespace, "address", "add", f"{host.address}/16", "dev", "eth0")
    _ip("-n", host.switch, "link", "set", "dev", host.name, "master", "br0")
    host.join()
    for card in ("lo", "eth0"):
        _ip("-n", host.namespace, "link", "set", "dev", card, "up")


def _add_namespace(name: str, exits: ExitStack) -> None:
    _ip("netns", "add", name)
    exits.callback(_ip, "netns", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
