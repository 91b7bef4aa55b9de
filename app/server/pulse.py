"""Whether a worker does its work: its event loop turns, and no thread has been at one piece of work for too long.

The supervisor asks each worker by its pipe. A thread of the worker answers once the event loop has; it is silent while
the loop or a thread stands still, and when the whole process is stopped. Whoever is silent too long is replaced.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from uvicorn.supervisors.multiprocess import Process

from app.server.hooks import PULSE

START_S: Final = 180.0  # for a new worker to serve; TensorFlow on a throttled core takes a minute
LOOK_S: Final = 0.5


class Pulse:
    """The event loop of this process, and whether one of its threads is `stuck`: at one piece of work for too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stuck: Callable[[], bool]) -> None:
        self._loop = loop
        self._stuck = stuck

    def wait(self) -> None:
        """Wait until the event loop has turned and no thread is stuck; for ever where that never comes."""
        turned = threading.Event()
        with suppress(RuntimeError):  # it has ended: the process is on its way out
            self._loop.call_soon_threadsafe(turned.set)
            turned.wait()
        while self._stuck():
            time.sleep(LOOK_S)


class Worker(Process):
    """A worker whose signs of life go through its event loop. The supervisor asks without waiting for the answer, so
    that one silent worker keeps none of the others from being looked after."""

    parent_conn: Connection
    _asked_s: float | None = None
    _heard_s: float | None = None
    _serves = False

    def pong(self) -> None:
        """In the worker: answer one question, once the event loop and the threads do their work."""
        self.child_conn.recv()
        # That it serves is told at once: from then on the supervisor expects signs of life.
        pulse: Pulse | None = self.server.lifespan.state.get(PULSE) if self._serves else None
        if pulse is not None:
            pulse.wait()
        self._serves = self.server.started
        self.child_conn.send(self._serves)

    def is_alive(self, timeout: float = 5) -> bool:
        """Whether the worker runs, and has given a sign of life within `timeout` seconds, or is still starting."""
        if not self.process.is_alive():
            return False
        now = time.monotonic()
        self._heard_s = now if self._heard_s is None else self._heard_s
        try:
            while self.parent_conn.poll(0):
                self._serves |= bool(self.parent_conn.recv())
                self._asked_s, self._heard_s = None, now
            if self._asked_s is None:
                self._asked_s = now
                self.parent_conn.send(b"ping")
        except (OSError, EOFError):
            return False
        return now - self._heard_s <= (timeout if self._serves else max(timeout, START_S))
