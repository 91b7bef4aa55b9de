"""Memory that nobody uses any more, given back to the operating system."""

from __future__ import annotations

import ctypes


def give_back_freed() -> None:
    """Give back what the C library keeps of freed memory (malloc_trim(3)); nothing where it has no such call.

    Decoding a series leaves about 8 MB in the heap of its thread; giving them back takes about a millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
