"""Batches in order, prepared while the network works: by one thread, or by processes where a GPU would wait for it.

Which of them prepares a batch does not change it: a source is a function of the batch's number.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, TypeVar  # a loader process does not know what its source gives

T = TypeVar("T")

_sources: list[
    Callable[[int], Any]
] = []  # of a loader process: sent once at its start, too large to send with every task


def batches_ahead(source: Callable[[int], T], first: int, last: int, processes: int = 0) -> Generator[T, None, None]:
    """Batches `first` … `last` - 1 of `source`; at most one per worker, and one more, wait to be used."""
    ahead = max(processes, 1)
    with _executor(source, processes) as pool:
        waiting: deque[Future[T]] = deque()
        for number in range(first, last):
            waiting.append(pool.submit(_prepared, number) if processes else pool.submit(source, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _executor(source: Callable[[int], T], processes: int) -> Executor:
    if not processes:
        return ThreadPoolExecutor(1)
    # A forked copy of a process that holds TensorFlow's or CUDA's threads hangs.
    return ProcessPoolExecutor(processes, get_context("spawn"), _start_loader, (source,))


def _start_loader(source: Callable[[int], Any]) -> None:
    _sources[:] = [source]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed trainer closes nothing: without this its loaders would wait for tasks for ever."""
    if (parent := parent_process()) is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepared(number: int) -> Any:
    return _sources[0](number)
