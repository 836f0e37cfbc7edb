"""What can go wrong with doors."""


class DoorNotFound(Exception):
    """The sandbox has no door."""

    def __init__(self, sandbox: str) -> None:
        super().__init__(f"sandbox {sandbox} has no door")
        self.sandbox = sandbox


class DoorExists(Exception):
    """The sandbox has a door that says something else."""

    def __init__(self, sandbox: str) -> None:
        super().__init__(f"sandbox {sandbox} has another door; close it first")
        self.sandbox = sandbox


class DoorRefused(Exception):
    """Envoy would not listen there."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"the gate cannot open {name}: {message}")
        self.sandbox = name.rpartition("/")[2]


class DoorMisplaced(Exception):
    """A socket lies outside the directory of the sandboxes' sockets, or is missing."""


class GateUnavailable(Exception):
    """Envoy is not connected, or did not answer in time."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"the gate did not answer within {waited_s:g} s; `stockade gate status` tells how it is")
        self.waited_s = waited_s
