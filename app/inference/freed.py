"""Memory that nobody uses any more, given back to the operating system."""

from __future__ import annotations

import ctypes


def give_back_freed() -> None:
    """Give back what the C library keeps of freed memory (malloc_trim(3)); nothing where it has no such call.

    Single slices, and each stage of a series, leave 1 to 4 MB in the heaps of their threads. It takes about a
    millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
