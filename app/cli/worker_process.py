"""What a worker process does for itself: it ends with its parent, and keeps the collector off what stays."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Final

# New objects, and collections of one generation before the next. A request makes thousands that go without the
# collector: after Python's own 700 it would look five times a request for what is not there.
COLLECT_AFTER: Final = (20_000, 50, 100)


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
