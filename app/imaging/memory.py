"""Memory of large arrays: straight from the operating system, and given back to it."""

from __future__ import annotations

import ctypes
import math
import mmap
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
PIECE_BYTES: Final = 96 * 1024  # lies in a heap: from 128 kB on the C library may take a mapping of its own
PIECES: Final = 96  # 9 MB together; a series leaves 5 MB in the heap of its thread


def mapped(size_bytes: int) -> mmap.mmap:
    """Zeros in a mapping of their own, of which memory is taken page by page as it is written.

    What is merely freed stays in the heap of its thread, in pieces that the next to come may not fit into.
    """
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # NumPy asks for huge pages: in a virtual machine whose host takes free ones back, each costs ten times as much.
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def mapped_zeros(shape: tuple[int, ...], dtype: type[T]) -> NDArray[T]:
    """An array of zeros in `mapped` memory."""
    return np.frombuffer(mapped(math.prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)


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
