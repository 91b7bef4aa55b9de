"""The threads that judge what was spooled and deliver what came of it, in every worker process."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from app.delivery.destinations import Destination
from app.delivery.locks import held_if_free
from app.delivery.spool import HOUR_S, Claim, Spool
from app.delivery.store import Due, ObjectKind, ResultObject, ResultStore
from app.errors import InputError, Overloaded
from app.inference.engine import SeriesLane
from app.inference.series import Cancelled
from app.telemetry import Metrics

POLL_S: Final = 1.0  # a series waits for seconds anyway
STOP_PATIENCE_S: Final = 5.0
MAX_ATTEMPTS: Final = 3  # of judging: what kills its judge that often is dropped
MAX_PAUSE_S: Final = HOUR_S  # a destination that comes back is found within an hour
logger = logging.getLogger(__name__)

# Files of one series, when its last instance came, and whether to stop, to result objects of the kinds wanted.
Judge = Callable[[Sequence[Path], datetime, Callable[[], bool], frozenset[ObjectKind]], Sequence[ResultObject]]


class Repeating:
    """A thread that calls `step` until it has nothing to do, then waits POLL_S, until it is told to stop."""

    def __init__(self, name: str, step: Callable[[], bool]) -> None:
        self._step = step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Do not begin another step."""
        self._stop.set()

    def join(self) -> None:
        """Wait until the last step has ended; not for ever, since nothing is lost by ending within one."""
        if self._thread.is_alive():
            self._thread.join(STOP_PATIENCE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self._step()
            # A full disk or a locked database: the thread must outlive it.
            except Exception as error:
                logger.error("%s failed", self._thread.name, exc_info=error)
                busy = False
            if not busy:
                self._stop.wait(POLL_S)


@dataclass(frozen=True, slots=True)
class Judging:
    """Judges complete series, one at a time, in a place of the lane that all series share."""

    spool: Spool
    store: ResultStore
    lane: SeriesLane
    judge: Judge
    destinations: Mapping[ObjectKind, Sequence[str]]
    metrics: Metrics
    keep_hours: float

    def step(self, now: float | None = None) -> bool:
        """Sweep, and judge one series if there is one; returns whether there was."""
        now = time.time() if now is None else now
        self._sweep(now)
        claim = self.spool.claim(now)
        if claim is None:
            return False
        try:
            with self.lane.slot() as slot:
                return self._settle(claim, slot.cancelled)
        except Overloaded:
            claim.release()
            return False

    def _settle(self, claim: Claim, cancelled: Callable[[], bool]) -> bool:
        """Judge one series; returns whether the next may follow at once."""
        if self.store.is_judged(claim.id):
            self._finish(claim)
            return True
        attempt = claim.begin()
        outcome = "failed"
        try:
            outcome = self._results(claim, cancelled)
        except InputError as error:
            outcome = "unfit"
            # Its class only: a message counts files, and names nothing, but belongs to whoever sent them.
            logger.warning("a spooled series cannot be judged: %s", type(error).__name__)
        except Cancelled:
            outcome = "interrupted"
        except (OSError, sqlite3.Error) as error:
            outcome = "interrupted"
            logger.error("results cannot be written: %s", type(error).__name__)
        # Whatever else a decoder or a runtime raises must not stop the next series.
        except Exception as error:
            logger.error("judging a spooled series failed, attempt %d of %d", attempt, MAX_ATTEMPTS, exc_info=error)
        if outcome == "interrupted":
            claim.forgive()
        if outcome == "interrupted" or (outcome == "failed" and attempt < MAX_ATTEMPTS):
            claim.release()
        else:
            # Here alone: a series is counted once, not once an attempt.
            self.metrics.spooled_series(outcome).inc()
            self._finish(claim)
        return outcome != "interrupted"

    def _results(self, claim: Claim, cancelled: Callable[[], bool]) -> str:
        wanted = frozenset({"dicom", *self.destinations})
        objects = self.judge(claim.paths, claim.arrived, cancelled, wanted)
        now = time.time()
        expires_at = now + self.keep_hours * HOUR_S
        self.store.put(claim.id, objects, self.destinations, now=now, expires_at=expires_at)
        return "judged"

    def _finish(self, claim: Claim) -> None:
        claim.done()
        self.store.forget(claim.id)

    def _sweep(self, now: float) -> None:
        if dropped := self.spool.sweep(now):
            logger.error("%d spooled series were too old to be judged and are dropped", dropped)
            self.metrics.spooled_series("expired").inc(dropped)
        if expired := self.store.expire(now):
            logger.error("%d results could not be delivered in time and are dropped", expired)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause after the n-th failure, in seconds: `first_s`, doubled each time, up to `max_s`."""

    first_s: float
    max_s: float = MAX_PAUSE_S

    def pause_s(self, failures: int) -> float:
        """After `failures` failures in a row."""
        return float(min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 32)))


@dataclass(frozen=True, slots=True)
class Delivering:
    """Sends to one destination, one object at a time, from one process at a time."""

    store: ResultStore
    destination: Destination
    lock: Path
    backoff: Backoff
    metrics: Metrics

    def step(self, now: float | None = None) -> bool:
        """Send the object that has waited longest; returns whether there was one and it was settled."""
        with held_if_free(self.lock) as mine:
            if not mine:
                return False
            now = time.time() if now is None else now
            item = self.store.due(self.destination.name, now)
            return item is not None and self._send(item, now)

    def _send(self, item: Due, now: float) -> bool:
        name = self.destination.name
        outcome = self.destination.send(item.content)
        self.metrics.deliveries(name, outcome).inc()
        if outcome == "retry":
            self.store.postpone(name, item.uid, now + self.backoff.pause_s(item.attempts + 1))
            return False
        if outcome == "refused":
            logger.error("%s refuses a result: it is not sent again", name)
        self.store.settle(name, item.uid)
        return True


class Delivery:
    """Spool, store and threads of one process."""

    def __init__(self, spool: Spool, store: ResultStore, judging: Judging, delivering: Sequence[Delivering]) -> None:
        self.spool = spool
        self.store = store
        self._threads = [
            Repeating("judging", judging.step),
            *(Repeating(f"delivering to {each.destination.name}", each.step) for each in delivering),
        ]

    def start(self) -> None:
        """Begin to judge and to deliver."""
        for thread in self._threads:
            thread.start()

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Begin nothing more; what is at work has ended after the block, which may hurry it."""
        for thread in self._threads:
            thread.stop()
        yield
        for thread in self._threads:
            thread.join()
