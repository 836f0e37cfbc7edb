"""Where things lie inside a sandbox, and how its PID 1 is started."""

SUPERVISOR_DIR = "/opt/stockade"
"""The read-only folder with the supervisor and its own interpreter, libraries and loader."""

RUN_DIR = "/run/stockade"
"""The sandbox's own directory, mounted read-only: control.sock, egress.sock, api.sock. Never a volume below it."""

AGENT_HOME = "/workspace"
"""The home that the passwd file names, and HOME in every exec: the one writable place on disk."""


def supervisor_command() -> list[str]:
    """The argv of PID 1: the folder's own loader starts its own python, so that any image works, empty ones too.

    The Docker entrypoint must be this list, with no user argument; the environment is the sandbox's own, and the
    working directory the one that execs start in by default.
    """
    return [
        f"{SUPERVISOR_DIR}/lib/ld.so",
        "--library-path",
        f"{SUPERVISOR_DIR}/lib",
        "--argv0",
        f"{SUPERVISOR_DIR}/bin/python3",
        f"{SUPERVISOR_DIR}/bin/python3",
        "-I",
        "-S",
        "-OO",
        "-X",
        "no_debug_ranges",
        f"{SUPERVISOR_DIR}/app",
    ]


def identity_files(uid: int, gid: int, sandbox: str) -> dict[str, str]:
    """Files to be written by the host and mounted read-only: path inside → content.

    passwd and group name nobody but the agent (and root, who owns what the image holds); resolv.conf names the
    supervisor's DNS stub, which answers only where the sandbox has doors.
    """
    return {
        "/etc/passwd": (
            f"root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nagent:x:{uid}:{gid}:agent:{AGENT_HOME}:/bin/sh\n"
        ),
        "/etc/group": f"root:x:0:\nagent:x:{gid}:\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\t{sandbox}\n",
        "/etc/hostname": f"{sandbox}\n",
    }


def processor_files(count: int) -> dict[str, str]:
    """What programs read to count processors, /proc/cpuinfo and /proc/stat, for `count` of no kind (proc(5)).

    Mounted over the kernel's own, which tell of the host; an empty file would leave Node.js without any processor.
    """
    model = "vendor_id\t: unknown\nmodel name\t: unknown\ncpu MHz\t\t: 0.000\n"
    times = " ".join(["0"] * 10)
    lines = "".join(f"cpu{number} {times}\n" for number in range(count))
    return {
        "/proc/cpuinfo": "".join(f"processor\t: {number}\n{model}\n" for number in range(count)),
        "/proc/stat": f"cpu  {times}\n{lines}intr 0\nctxt 0\nbtime 0\nprocesses 0\nprocs_running 1\nprocs_blocked 0\n",
    }
