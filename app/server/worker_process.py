"""Settings of a worker process: scheduling, its end with its parent, and garbage collection."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from typing import Final

# New objects, and collections of one generation before the next. A request makes thousands that go without the
# collector: after Python's own 700 it would look five times a request for what is not there.
MOST_FILES: Final = 65_536  # open at once: more than LUNGSCOPE_MAX_CONNECTIONS is likely to ask for
COLLECT_AFTER: Final = (20_000, 50, 100)


def use_batch_scheduling() -> None:
    """Keep this process, and those that it starts, from interrupting others when it wakes up (SCHED_BATCH, sched(7)).

    Otherwise every piece of an upload interrupts an inference, which then loses its cache. Where the system does not
    allow this setting, nothing changes.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def allow_open_files() -> None:
    """Let this process, and those that it starts, open as many files as the system allows: a connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def leave_no_core() -> None:
    """Have a crash of this process, and of those that it starts, leave no memory on the disk: it holds images of
    patients. The usual collectors of core dumps keep to this limit as well (core(5))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent() -> None:
    """Finish the requests and end when the supervisor is gone: a killed supervisor cannot stop its workers."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


@contextmanager
def long_lived_objects() -> Iterator[None]:
    """Exclude everything that is imported and built in the block from garbage collection.

    Modules and functions live until the process ends. Looking through them takes a tenth of the start-up time, and
    later 40 ms at a time between two requests.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        gc.enable()
