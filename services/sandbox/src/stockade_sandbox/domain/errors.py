"""What goes wrong with sandboxes, each with the facts that its message is made of."""

from stockade_sandbox.domain.sandbox import NetworkMode, State, Tier


class SandboxError(Exception):
    """Base of what the handlers turn into a status; its text is one line that names the mend."""


class SandboxNotFound(SandboxError):
    """No such sandbox, or not the caller's: one cannot tell which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no sandbox {name!r}; list them with ListSandboxes")
        self.name = name


class SandboxNotRunning(SandboxError):
    """The sandbox is not in a state for what was asked."""

    def __init__(self, name: str, state: State, detail: str = "") -> None:
        mend = "resume it first" if state is State.PAUSED else "create another"
        super().__init__(f"sandbox {name} is {state}{f' ({detail})' if detail else ''}: {mend}")
        self.name, self.state = name, state


class EtagMismatch(SandboxError):
    """The sandbox changed since the caller read it."""

    def __init__(self, current: str) -> None:
        super().__init__(f"the sandbox changed since: its etag is {current} now; read it again")
        self.current = current


class FieldNotMutable(SandboxError):
    """The update mask names what cannot change."""

    def __init__(self, field: str, mend: str) -> None:
        super().__init__(f"{field} of a sandbox cannot change here: {mend}")
        self.field = field


class RequestIdReused(SandboxError):
    """The request_id came before, with another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used for another request; take a new one")
        self.request_id = request_id


class LimitAboveProfile(SandboxError):
    """More is asked than the ceiling. `field` is the request's field."""

    def __init__(self, field: str, asked: object, ceiling: object, profile: str) -> None:
        super().__init__(
            f"{field}: {asked} is above the ceiling of profile {profile!r}, {ceiling}; ask for that or less"
        )
        self.field, self.asked, self.ceiling, self.profile = field, asked, ceiling, profile


class TierUnavailable(SandboxError):
    """This node cannot run so strong a tier."""

    def __init__(self, wanted: Tier, available: Tier) -> None:
        super().__init__(
            f"tier {wanted.name} is wanted and this node has {available.name} at most; ask another node, or let an "
            f"operator permit less for the profile with STOCKADE_SANDBOX_ACCEPT_LOWER_TIER"
        )
        self.wanted, self.available = wanted, available


class RuntimeMissing(SandboxError):
    """The engine has no runtime for a tier that the node offers."""

    def __init__(self, wanted: Tier, runtime: str) -> None:
        super().__init__(
            f"tier {wanted.name} is wanted and the engine has no runtime {runtime!r}; as root run `deploy/host/runsc "
            f"fetch` and `deploy/host/engine start`, or ask another node"
        )
        self.wanted, self.available = wanted, Tier.RUNC


class SocketsOpen(SandboxError):
    """Live memory cannot be kept while a program holds a connection to the host."""

    def __init__(self) -> None:
        super().__init__(
            "a program in the sandbox holds a connection to /run/stockade/api.sock or egress.sock, and live memory "
            "cannot be kept meanwhile; end the program, or take a snapshot of the files"
        )


class MemoryNotKept(SandboxError):
    """A sandbox's tier cannot copy live memory."""

    def __init__(self, tier: Tier) -> None:
        super().__init__(f"tier {tier.name} cannot copy live memory; take a snapshot of the files and restore that")
        self.wanted, self.available = Tier.GVISOR, tier


class SnapshotNotFound(SandboxError):
    """No such snapshot."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no snapshot {name!r}; list them with ListSnapshots")
        self.name = name


class NetworkModeNotAllowed(SandboxError):
    """The server's configuration does not permit the mode."""

    def __init__(self, mode: NetworkMode, why: str = "let an operator set STOCKADE_SANDBOX_ALLOW_HOST_NETWORK") -> None:
        super().__init__(f"network mode {mode.name} is not permitted by this server: ask for WHITELISTED; {why}")
        self.mode = mode


class ImageNotAllowed(SandboxError):
    """The image is on no line of the server's list."""

    def __init__(self, image: str) -> None:
        super().__init__(f"image {image!r} is not allowed here; STOCKADE_SANDBOX_IMAGES lists what is")
        self.image = image


class ImageMissing(SandboxError):
    """The engine does not have the image."""

    def __init__(self, image: str) -> None:
        mend = "build it with deploy/images/agent/build" if image.startswith("stockade/") else "load it into the engine"
        super().__init__(f"image {image!r} is not in the engine: {mend}")
        self.image = image


class EngineUnavailable(SandboxError):
    """No engine answers, or it does not answer in time."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(f"no Docker engine answers at {address} ({detail}); start one with deploy/host/engine start")
        self.address = address


class EngineRefused(SandboxError):
    """The engine answered and did not do it. `detail` is its own word."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the engine refused: {detail}")
        self.detail = detail


class StartFailed(SandboxError):
    """The engine made the sandbox and it did not come up."""

    def __init__(self, image: str, detail: str) -> None:
        super().__init__(f"a sandbox of image {image!r} did not start: {detail}")
        self.image, self.detail = image, detail


class QuotaExceeded(SandboxError):
    """The caller has as many sandboxes as it may."""

    def __init__(self, owner: str, limit: int) -> None:
        super().__init__(f"{owner} has {limit} sandboxes, which is its limit; delete one, or wait until one expires")
        self.owner, self.limit = owner, limit


class NodeFull(SandboxError):
    """The node takes no more. `resource` is what it lacks: sandboxes, memory, disk, uids, or "cordoned"."""

    def __init__(self, node: str, resource: str, detail: str) -> None:
        super().__init__(f"node {node} takes no more sandboxes: {detail}")
        self.node, self.resource = node, resource


class NodeNotFound(SandboxError):
    """No such node."""

    def __init__(self, name: str, known: str) -> None:
        super().__init__(f"no node {name!r}; this one is {known!r}, and ListNodes tells the others")
        self.name = name


class SandboxElsewhere(SandboxError):
    """The sandbox lives on another node."""

    def __init__(self, name: str, node: str) -> None:
        super().__init__(f"sandbox {name} lives on node {node}; ask there, or send x-stockade-node: {node} to the mesh")
        self.name, self.node = name, node


class NodeNameTaken(SandboxError):
    """Two nodes of one name."""

    def __init__(self, name: str, host: str) -> None:
        super().__init__(
            f"a node named {name!r} is alive on host {host}; give this one another name with STOCKADE_SANDBOX_NODE"
        )
        self.name, self.host = name, host


class FleetUnavailable(SandboxError):
    """The registry that nodes share does not answer, or cannot be sure yet."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the registry of the fleet cannot be used ({detail}); what runs runs on, and new sandboxes wait for it"
        )


class FleetUnsuitable(FleetUnavailable):
    """The registry answers and must not be used: a start is refused, and a service that runs does without."""


class NotMember(SandboxError):
    """The registry does not have this node as one of the fleet, any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"node {name} has to join the fleet again")


class GateUnavailable(SandboxError):
    """The network-policy service, or its gate, does not answer."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the network gate cannot be reached ({detail}); start it with `stockade up`, or ask for ISOLATED"
        )


class DomainNotInPolicy(SandboxError):
    """A narrowing domain lies outside the agent type's policy. The text is the gate's own."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)


class PageTokenInvalid(SandboxError):
    """The page token is not one of ours."""

    def __init__(self) -> None:
        super().__init__("page_token is not one that this server gave for this filter; start without one")
