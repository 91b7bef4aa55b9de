"""Runs blocking work on a few threads behind a bounded queue, off the event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.errors import Overloaded

T = TypeVar("T")


class Engine:
    """At most `threads` pieces of work run and `queue_limit` more wait; beyond that callers are told at once."""

    def __init__(self, threads: int, queue_limit: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine")
        self._limit = threads + queue_limit
        self._accepted = 0

    async def submit(self, work: Callable[[], T]) -> T:
        """Run `work` and return what it returns; raises Overloaded when the queue is full."""
        if self._accepted >= self._limit:
            raise Overloaded(
                found=f"{self._accepted} requests at work or waiting",
                expected=f"at most {self._limit}",
                remedy="Try again after the seconds in Retry-After.",
            )
        self._accepted += 1
        try:
            # The context goes along, so that what work logs has its request's id.
            context = contextvars.copy_context()
            return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, work)
        finally:
            self._accepted -= 1

    def close(self) -> None:
        """Finish what runs and stop the threads."""
        self._pool.shutdown(wait=True)
