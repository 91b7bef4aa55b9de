"""Memory of large arrays, straight from the operating system, which has it back as soon as it is dropped."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def mapped(size_bytes: int) -> mmap.mmap:
    """Zeros in a mapping of their own, of which memory is taken page by page as it is written.

    What is merely freed stays in the heap of its thread, in pieces that the next to come may not fit into.
    """
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # NumPy asks for huge pages: in a virtual machine whose host takes free ones back, each costs ten times as much.
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def mapped_file(path: Path) -> memoryview:
    """The bytes of a file, which stay on the disk until they are looked at; raises OSError, and ValueError for an empty
    one. Nobody may shorten the file meanwhile."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def mapped_zeros(shape: tuple[int, ...], dtype: type[T]) -> NDArray[T]:
    """An array of zeros in `mapped` memory."""
    return np.frombuffer(mapped(math.prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)
