"""A second seccomp filter, of the supervisor's own: no call that would move PID 1 passes where it names PID 1.

The supervisor has the agent's uid, so that the kernel lets any program of the sandbox slow it down for good, or move it
to another processor; gVisor's kernel lets it be signalled as well. The kernel reads a process's number from the lower
half of an argument. The profile's rules compare it whole, these the half. See seccomp(2) and, for the format,
linux/filter.h; the numbers are x86-64's, which the profile lets no other table beside.
"""

from __future__ import annotations

import struct

from . import kernel

_PRIO_USER, _IOPRIO_WHO_USER = 2, 3

REFUSED = (
    (62, 0, 1),  # kill
    (200, 0, 1),  # tkill
    (234, 0, 1),  # tgkill
    (129, 0, 1),  # rt_sigqueueinfo
    (297, 0, 1),  # rt_tgsigqueueinfo
    (142, 0, 1),  # sched_setparam
    (144, 0, 1),  # sched_setscheduler
    (203, 0, 1),  # sched_setaffinity
    (314, 0, 1),  # sched_setattr
    (141, 1, 1),  # setpriority, of it or its group
    (141, 0, _PRIO_USER),
    (251, 1, 1),  # ioprio_set, of it or its group
    (251, 0, _IOPRIO_WHO_USER),
)
"""Each a system call, the place of an argument, and the value of its lower half with which the call is refused."""

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_ALLOW, _ERRNO_EPERM = 0x7FFF0000, 0x00050001
_NUMBER, _ARGUMENTS = 0, 16  # offsets in struct seccomp_data


def program() -> bytes:
    """The filter, as an array of `struct sock_filter`."""
    refusals = b"".join(
        _instruction(_LOAD, _NUMBER)
        + _instruction(_JUMP_IF_EQUAL, call, otherwise=3)
        + _instruction(_LOAD, _ARGUMENTS + 8 * place)
        + _instruction(_JUMP_IF_EQUAL, value, otherwise=1)
        + _instruction(_RETURN, _ERRNO_EPERM)
        for call, place, value in REFUSED
    )
    return refusals + _instruction(_RETURN, _ALLOW)


def assume() -> None:
    """Holds this process, and all that it ever starts, to the filter. Raises OSError."""
    kernel.filter_calls(program())


def _instruction(code: int, operand: int, otherwise: int = 0) -> bytes:
    """One that goes on with the next; a comparison that fails skips `otherwise` of them."""
    return struct.pack("HBBI", code, 0, otherwise, operand)
