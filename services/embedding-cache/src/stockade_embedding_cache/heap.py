"""The C library's heap, told that this process takes and gives back megabytes all the time."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
KEEP_BYTES = 64 * 1024 * 1024
LARGEST_BYTES = 32 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, up to 64 MiB, for the next batch.

    Else each batch of megabytes is mapped, filled with zeroes and unmapped by the kernel again, which takes more time
    than reading it. Only glibc has this to tell; elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEEP_BYTES)
