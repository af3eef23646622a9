"""glibc's allocator, set to keep the memory of freed tensors."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed tensors' pages instead of returning them to the system.

    By default each tensor of more than 32 MB is mapped, faulted in page by page and unmapped again, which
    cost a fifth of the training time on a CPU (docs/log.md). Elsewhere than on glibc this does nothing.
    """
    mmap_max, trim_threshold, top_pad, arena_max = -4, -1, -2, -8  # names of <malloc.h>
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**28), (arena_max, 1)):
        set_option(option, value)
