"""The seccomp profile as a program for the kernel, for engines that do not read Docker's JSON: by libseccomp."""

import ctypes
import json
import os
from collections.abc import Mapping
from typing import Any

from stockade_sandbox import seccomp

_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_ERRNO, _EPERM = 0x00050000, 1
_COMPARISONS = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_ATTRIBUTE_BAD_ARCHITECTURE = 2


class _Argument(ctypes.Structure):
    """`struct scmp_arg_cmp` (seccomp.h)."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def program() -> bytes:
    """The filter, as an array of `struct sock_filter`. Raises OSError where libseccomp is missing or refuses."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | _EPERM)))
    try:
        _check(library.seccomp_attr_set(context, _ATTRIBUTE_BAD_ARCHITECTURE, ctypes.c_uint32(_KILL_PROCESS)))
        for rule in json.loads(seccomp.profile())["syscalls"]:
            _add(library, context, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: Mapping[str, Any]) -> None:
    action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
    arguments = [_argument(item) for item in rule.get("args", ())]
    array = (_Argument * len(arguments))(*arguments)
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # a call that this libseccomp does not know stays refused
            _check(library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(arguments), array))


def _argument(item: Mapping[str, Any]) -> _Argument:
    return _Argument(item["index"], _COMPARISONS[item["op"]], item["value"], item.get("valueTwo", 0))


def _export(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    file = os.memfd_create("seccomp")
    try:
        _check(library.seccomp_export_bpf(context, file))
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
