"""Memory that a batch gave back stays for the next batch.

A batch takes some MB of arrays and gives them back. The C library returned them to the system each time, and the system
cleared every page again when the next batch touched it: .7 page faults an event and 1.5 µs of its time.
"""

from __future__ import annotations

import ctypes

KEPT_BYTES = 64 << 20
"""Free memory at the end of the heap that is not returned: what a large batch takes."""
MAPPED_FROM_BYTES = 32 << 20
"""Arrays from this size on, such as tables of rows, have pages of their own, returned as soon as they are given back; the
largest value that the C library takes."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library so; returns whether it took it: glibc does, others have no such setting and run as before."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    mapped, kept = set_option(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES), set_option(_M_TRIM_THRESHOLD, KEPT_BYTES)
    return bool(mapped and kept)
