"""Keep freed memory in the process: for workers that need the same large tensors again and again."""

from __future__ import annotations

import ctypes
import platform
import sys

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Let the C library keep memory that was freed, instead of giving it back to the system.

    From 32 MB on, glibc asks the system for memory each time and gives it back at once. Every page of it is then
    cleared and mapped anew: a fifth of the time of a separator at htdemucs' size on two cores. Afterwards the process
    stays as large as it ever was. All threads that start later share one pool, as other pools cannot hold blocks so
    large.

    To be called once, before models are loaded. Does nothing where there is no glibc.

    Returns:
        Whether it took effect.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL("libc.so.6")
    taken = [
        library.mallopt(*setting) for setting in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    ]
    return all(taken)
