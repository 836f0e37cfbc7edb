"""The seccomp profile of every sandbox, generated from the two lists below.

Every system call of the x86-64 table stands in exactly one list, which a test holds to the kernel's own header; one
that neither names (a newer kernel's) is refused. Only native calls pass: a 32-bit or x32 call ends the process, since
another table would make every rule here void. Calls that would move PID 1 the supervisor refuses by a filter of its
own, `supervisor/immunity.py`: a rule here compares an argument whole, where the kernel reads half of it. Format: the
OCI seccomp profile as Docker takes it (https://docs.docker.com/engine/security/seccomp/).
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from stockade_sandbox.domain.sandbox import Tier

ALLOWED: Mapping[str, str] = {
    "files": """
        read write open close stat fstat lstat lseek pread64 pwrite64 readv writev access dup dup2 dup3 pipe pipe2
        sendfile fcntl flock fsync fdatasync truncate ftruncate getdents getdents64 getcwd chdir fchdir rename mkdir
        rmdir creat link unlink symlink readlink chmod fchmod chown fchown lchown umask utime utimes futimesat statfs
        fstatfs readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
        removexattr lremovexattr fremovexattr fadvise64 openat mkdirat fchownat newfstatat unlinkat renameat linkat
        symlinkat readlinkat fchmodat faccessat splice tee sync_file_range vmsplice utimensat fallocate preadv pwritev
        preadv2 pwritev2 syncfs sync renameat2 copy_file_range statx openat2 faccessat2 close_range ioctl
        mknod mknodat""",  # fifos and sockets; devices want a capability that nobody here has
    "waiting": """
        poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd
        eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime inotify_init inotify_init1
        inotify_add_watch inotify_rm_watch io_setup io_destroy io_getevents io_submit io_cancel io_pgetevents""",
    "memory": """
        mmap mprotect munmap brk mremap msync mincore madvise mlock mlock2 munlock mlockall munlockall memfd_create
        remap_file_pages pkey_mprotect pkey_alloc pkey_free membarrier memfd_secret""",
    "processes": """
        fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill getpid getppid gettid setpgid getpgid
        getpgrp setsid getsid getpriority setpriority sched_yield sched_setparam sched_getparam sched_setscheduler
        sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_setaffinity
        sched_getaffinity sched_setattr sched_getattr ioprio_set ioprio_get prctl arch_prctl set_tid_address
        set_robust_list get_robust_list set_thread_area get_thread_area futex futex_waitv rseq getcpu
        pidfd_open pidfd_send_signal process_mrelease seccomp
        landlock_create_ruleset landlock_add_rule landlock_restrict_self""",
    "signals": """
        rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo
        rt_sigsuspend sigaltstack pause restart_syscall""",
    "time": """
        nanosleep clock_nanosleep getitimer setitimer alarm time times gettimeofday clock_gettime clock_getres
        timer_create timer_settime timer_gettime timer_getoverrun timer_delete""",
    "sockets": """
        connect accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown bind listen getsockname
        getpeername socketpair setsockopt getsockopt""",
    "identity": """
        getuid geteuid getgid getegid getgroups getresuid getresgid setuid setgid setreuid setregid setresuid setresgid
        setfsuid setfsgid setgroups capget capset""",
    "limits": "getrlimit setrlimit getrusage sysinfo uname",
    "messages": """
        shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
        mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr""",
    "random": "getrandom",
}
"""What programs need, by purpose. What is in `BY_ARGUMENT` passes by its arguments only."""

DENIED: Mapping[str, str] = {
    "other processes' memory": """
        ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd""",
    "file systems": """
        mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
        swapon swapoff quotactl quotactl_fd ustat sysfs nfsservctl fanotify_init fanotify_mark""",
    "files by handle": "name_to_handle_at open_by_handle_at lookup_dcookie",
    "namespaces": "unshare setns",
    "programs in the kernel": "bpf create_module init_module finit_module delete_module get_kernel_syms query_module",
    "faults in user space": "userfaultfd",
    "rings in the kernel": "io_uring_setup io_uring_enter io_uring_register",
    "kernel keys": "add_key request_key keyctl",
    "measuring the kernel": "perf_event_open syslog",
    "the machine": "reboot kexec_load kexec_file_load iopl ioperm acct vhangup sethostname setdomainname",
    "the clock": "settimeofday clock_settime clock_adjtime adjtimex",
    "memory placement": "mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages",
    "old ways": """
        modify_ldt uselib _sysctl getpmsg putpmsg afs_syscall tuxcall security vserver epoll_ctl_old
        epoll_wait_old""",
}
"""What nobody in a sandbox has a use for that is not an attack on the kernel or a neighbour, by what it reaches."""

BY_ARGUMENT = frozenset({"socket", "clone", "clone3", "personality", "prlimit64"})

FAMILIES = {"unix": 1, "inet": 2, "inet6": 10}
"""Socket families that may be made: what a loopback has a use for."""

NETLINK, ROUTE = 16, 0
"""The one family beside, in its one protocol by which the C library asks which interfaces there are."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX and PER_LINUX32, each with and without UNAME26, and the question which it is: none weakens a mapping."""

NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET (linux/sched.h)."""

_ENOSYS = 38


@cache
def profile(tier: Tier = Tier.RUNC) -> str:
    """The profile as JSON, for Docker's `seccomp=` security option."""
    rules = list(_rules_of_gvisor() if tier is Tier.GVISOR else _rules())
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules})


def _rules_of_gvisor() -> Iterator[dict[str, Any]]:
    """The same for gVisor's own kernel, where clone3 is missing by the one way that it knows.

    gVisor refuses with EPERM whatever errno a profile names, and with ENOSYS what is to be traced and is not.
    """
    for rule in _rules():
        yield {"names": rule["names"], "action": "SCMP_ACT_TRACE"} if "errnoRet" in rule else rule


def _rules() -> Iterator[dict[str, Any]]:
    yield _allow(*(name for names in ALLOWED.values() for name in names.split()))
    for family in FAMILIES.values():
        yield _allow("socket", where=[_argument(0, "SCMP_CMP_EQ", family)])
    yield _allow("socket", where=[_argument(0, "SCMP_CMP_EQ", NETLINK), _argument(2, "SCMP_CMP_EQ", ROUTE)])
    for personality in PERSONALITIES:
        yield _allow("personality", where=[_argument(0, "SCMP_CMP_EQ", personality)])
    # Its own limits: the kernel asks for no more than the same uid, and so would let a program starve the supervisor.
    yield _allow("prlimit64", where=[_argument(0, "SCMP_CMP_EQ", 0)])
    yield _allow("clone", where=[_argument(0, "SCMP_CMP_MASKED_EQ", NEW_NAMESPACES)])
    # Its flags lie in memory, where no filter can read them: C libraries then use clone, whose flags are seen.
    yield {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS}


def _allow(*names: str, where: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "args": where or []}


def _argument(index: int, operator: str, value: int) -> dict[str, Any]:
    """An argument compared with `value`. MASKED_EQ: its bits in `value` are all clear."""
    return {"index": index, "value": value, "valueTwo": 0, "op": operator}
