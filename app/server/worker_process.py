"""What a serving process does for itself: how it is scheduled, how it ends, what the collector looks through."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from typing import Final

# New objects, and collections of one generation before the next. A request makes thousands that go without the
# collector: after Python's own 700 it would look five times a request for what is not there.
COLLECT_AFTER: Final = (20_000, 50, 100)


def interrupt_nobody() -> None:
    """Have this process, and what it starts, wait for its turn when it wakes up (SCHED_BATCH, sched(7)).

    Otherwise every piece of an upload interrupts an inference, which then finds its cache gone. Where the system does
    not allow it nothing changes.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def end_with_parent() -> None:
    """Drain and end when the supervisor is gone: it may have been killed, and nobody else would end this process."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


@contextmanager
def made_to_stay() -> Iterator[None]:
    """What is imported and built in the block is never looked through for garbage.

    Modules and their functions stay until the end: passing over them takes a tenth of the time to start, and 40 ms at a
    time later, between two requests.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        gc.enable()
