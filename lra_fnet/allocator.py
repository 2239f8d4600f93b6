"""Tell the C library to keep freed memory: on CPUs, page faults cost much of a step.

A step allocates and frees activations of tens of megabytes; by default each goes back
to the system and its pages are faulted in again at the next step.
"""

import ctypes

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_SETTINGS = {
    _M_MMAP_MAX: 0,  # large blocks too come from the heap
    _M_ARENA_MAX: 1,  # one heap, so that what one thread frees another can use
    _M_TRIM_THRESHOLD: -1,  # give nothing back
    _M_TOP_PAD: 64 * 2**20,  # bytes to grow by
}


def keep_freed_memory() -> bool:
    """Set up the allocator of this process; return False where it is not glibc's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) == 1 for name, value in _SETTINGS.items())
