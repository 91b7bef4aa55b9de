"""Memory that nobody uses any more, given back to the operating system."""

from __future__ import annotations

import ctypes
from typing import Final

import numpy as np

PIECE_BYTES: Final = 96 * 1024  # lies in a heap: from 128 kB on the C library may take a mapping of its own
PIECES: Final = 96  # 9 MB together; a series leaves 5 MB in the heap of its thread


def give_back_freed() -> None:
    """Give back what the C library keeps of freed memory (malloc_trim(3)); nothing where it has no such call.

    Single slices, and each stage of a series, leave 1 to 5 MB in the heaps of their threads. It takes about a
    millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    # What lies free at the end of a thread's heap is kept: hence something in use at the end of the calling thread's.
    free = [np.empty(PIECE_BYTES, np.uint8) for _ in range(PIECES)]
    end = np.empty(PIECE_BYTES, np.uint8)
    del free
    trim(0)
    del end
