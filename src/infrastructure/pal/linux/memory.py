"""What the C library does with memory that this process has freed."""

import ctypes
from typing import Final

# <malloc.h>
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

# Ours: some batches of super-packets, each of which exists in several forms before it is gone.
_KEPT_BYTES: Final = 32 << 20
# Ours: longer than anything that the data plane makes.
_LONGEST_ON_HEAP_BYTES: Final = 4 << 20


def keep_freed_memory() -> None:
    """Have up to 32 MiB of it stay with this process, for the next packets.

    By itself glibc gives back whatever exceeds 128 KiB at the end of its heap. A data plane frees more than
    that with every batch of super-packets, and would have each page made anew by the kernel for the next one:
    a read of 64 KiB from a TUN device then takes 45 us instead of 7 us. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LONGEST_ON_HEAP_BYTES)
