"""What can go wrong with files in a sandbox."""


class FileNotFound(Exception):
    """No such file or directory in the sandbox."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no {path!r} in the sandbox")
        self.path = path


class FileRefused(Exception):
    """The kernel refused the agent's uid what was asked; `errno` is its name for why."""

    def __init__(self, path: str, errno: str, detail: str) -> None:
        super().__init__(f"{path!r}: {detail}")
        self.path = path
        self.errno = errno


class DiskFull(Exception):
    """The disk quota is used up."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no room left in the sandbox for {path!r}; remove files, or ask for a larger disk")
        self.path = path


class ArchiveRefused(Exception):
    """The archive is damaged or holds what is not unpacked."""

    def __init__(self, member: str, detail: str) -> None:
        super().__init__(f"archive member {member!r}: {detail}")
        self.member = member


class SandboxLost(Exception):
    """The sandbox, or the process that did the work, went away before it was done."""

    def __init__(self, sandbox: str, detail: str) -> None:
        super().__init__(f"sandbox {sandbox}: the work was cut short: {detail}")
        self.sandbox = sandbox
