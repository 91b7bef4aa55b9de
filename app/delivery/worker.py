"""The threads of each worker that judge spooled series and deliver results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from app.delivery.claim import Claim
from app.delivery.clock_steps import ClockReading, read_clock
from app.delivery.destinations import Destination, Outcome
from app.delivery.spool import HOUR_S, Spool
from app.delivery.storage import StorageWatch, is_of_storage, pause_s
from app.delivery.store import Due, ResultStore
from app.errors import DecoderUnavailable, InputError, Overloaded, Unavailable
from app.inference.series import Cancelled
from app.inference.series_lane import SeriesLane
from app.locks import held_if_free
from app.reports.result import ObjectKind, ResultObject
from app.telemetry import Metrics

POLL_S: Final = 1.0  # a series waits for seconds anyway
STOP_PATIENCE_S: Final = 5.0
MAX_ATTEMPTS: Final = 3  # of judging: what kills its judge that often is dropped
MAX_PAUSE_S: Final = HOUR_S  # a destination that comes back is found within an hour
logger = logging.getLogger(__name__)

# Files of one series, when its last instance came, and whether to stop, to result objects of the kinds wanted.
SeriesResults = Callable[[Sequence[Path], datetime, Callable[[], bool], frozenset[ObjectKind]], Sequence[ResultObject]]


class Repeating:
    """A thread that calls `step` until it returns false, waits POLL_S, and goes on until it is stopped.

    A step that fails is logged once, however often it fails again, and tried after pauses that double.
    """

    def __init__(self, name: str, step: Callable[[], bool]) -> None:
        self._step = step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further step."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end of the last step, but not for ever: a step that is broken off loses nothing."""
        if self._thread.is_alive():
            self._thread.join(STOP_PATIENCE_S)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                busy, failures = self._step(), 0
            # The thread must outlive whatever it is.
            except Exception as error:
                busy, failures = False, failures + 1
                if failures == 1:
                    logger.error("%s failed", self._thread.name, exc_info=error)
            if not busy:
                self._stop.wait(pause_s(max(1, failures), POLL_S))


def _always() -> bool:
    return True


def _tell_nobody(_destination: str, _uid: str, _outcome: Outcome) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SpoolWork:
    """Judges complete series, one at a time, each in a slot that the lane keeps for them.

    Nothing is begun unless `may_begin`.
    """

    spool: Spool
    store: ResultStore
    lane: SeriesLane
    judge: SeriesResults
    destinations: Mapping[ObjectKind, Sequence[str]]
    metrics: Metrics
    keep_hours: float
    may_begin: Callable[[], bool] = _always
    read_clock: Callable[[], ClockReading | None] = read_clock

    def step(self, now: float | None = None) -> bool:
        """Sweep the spool, and judge one series if one is complete; returns whether there was one.

        What can be judged is, however old a clock that was set makes it look; what is too old is dropped where there
        is nothing to judge. While the disk cannot be written nothing is judged: it would be in vain, over and over.
        """
        now = time.time() if now is None else now
        watch = self.store.watch
        if not watch.may_work():
            with suppress(OSError):
                self.spool.sweep(now)
                self._drop_old(now)
            return False
        try:
            with watch.guard():
                self._sweep(now)
                claim = self.spool.claim(now) if self.may_begin() else None
                if claim is not None and self._judge_in_turn(claim):
                    return True
                self._drop_old(now)
                return False
        except Unavailable:  # as the watch has said
            return False

    def _judge_in_turn(self, claim: Claim) -> bool:
        try:
            with self.lane.slot(spooled=True) as slot:
                return self._settle(claim, slot.cancelled)
        except Overloaded:
            return False
        finally:
            # Whatever happened: while this process holds the lock nobody else takes the series over.
            claim.release()

    def _settle(self, claim: Claim, cancelled: Callable[[], bool]) -> bool:
        """Judge one series; returns whether the next may follow at once.

        Raises OSError or sqlite3.Error when the results cannot be written: the series is not at fault and stays.
        """
        if self.store.is_judged(claim.id):
            self._finish(claim)
            return True
        attempt = claim.begin()
        objects: Sequence[ResultObject] = ()
        outcome = "judged"
        try:
            objects = self.judge(claim.paths, claim.arrived, cancelled, frozenset({"dicom", *self.destinations}))
        except InputError as error:
            outcome = "unfit"
            # Its class only: a message counts files, and names nothing, but belongs to whoever sent them.
            logger.warning("a spooled series cannot be judged: %s", type(error).__name__)
        except (Cancelled, DecoderUnavailable):
            outcome = "interrupted"
        except Unavailable:
            claim.forgive()
            raise
        # Whatever else a decoder or a runtime raises must not stop the next series.
        except Exception as error:
            outcome = "unreadable" if isinstance(error, OSError) else "failed"
            logger.error("judging a spooled series failed, attempt %d of %d", attempt, MAX_ATTEMPTS, exc_info=error)
        if outcome == "judged":
            outcome = self._kept(claim, objects)
        return self._done_with(claim, outcome, attempt)

    def _kept(self, claim: Claim, objects: Sequence[ResultObject]) -> str:
        """Keep the results; returns the outcome of the series, and raises an error that the disk causes."""
        now = time.time()
        expires_at = now + self.keep_hours * HOUR_S
        try:
            self.store.put(claim.id, objects, self.destinations, now=now, expires_at=expires_at)
        except Exception as error:
            if is_of_storage(error):
                claim.forgive()
                raise
            logger.error("results of a spooled series cannot be written", exc_info=error)
            return "failed"
        self.store.watch.succeeded()
        return "judged"

    def _done_with(self, claim: Claim, outcome: str, attempt: int) -> bool:
        """Delete, set apart or keep a series according to its outcome; returns whether the next may follow at once."""
        if outcome == "interrupted":
            claim.forgive()
            return False
        if outcome in ("failed", "unreadable") and attempt < MAX_ATTEMPTS:
            return True
        # Here alone: a series is counted once, not once an attempt.
        self.metrics.spooled_series(outcome).inc()
        if outcome == "unreadable":
            claim.set_apart("its files cannot be read")
        else:
            self._finish(claim)
        return True

    def _finish(self, claim: Claim) -> None:
        claim.done()
        self.store.forget(claim.id)

    def _sweep(self, now: float) -> None:
        self.spool.sweep(now)
        self._follow_clock(now)
        if expired := self.store.expire(now):
            logger.error("%d results could not be delivered in time and are dropped", expired)
        self.store.forget_damaged(now - self.keep_hours * HOUR_S)

    def _follow_clock(self, now: float) -> None:
        reading = self.read_clock()
        if reading is None:
            return
        if step_s := self.store.follow_clock(reading, now=now, keep_s=self.keep_hours * HOUR_S):
            logger.warning("the system's clock was set by %.0f s: results are kept as long as before", step_s)

    def _drop_old(self, now: float) -> None:
        if dropped := self.spool.drop_old(now):
            logger.error("%d spooled series were too old to be judged and are dropped", dropped)
            self.metrics.spooled_series("expired").inc(dropped)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause after the n-th failure, in seconds: `first_s`, doubled each time, up to `max_s`."""

    first_s: float
    max_s: float = MAX_PAUSE_S

    def pause_s(self, failures: int) -> float:
        """The pause in seconds after `failures` failures in a row."""
        return pause_s(failures, self.first_s, self.max_s)


@dataclass(frozen=True, slots=True)
class DeliveryWork:
    """Sends results to one destination, one object at a time. Only one process at a time sends.

    Nothing is sent unless `may_begin`; `told` is called with destination, UID and outcome of each attempt.
    """

    store: ResultStore
    destination: Destination
    lock: Path
    backoff: Backoff
    metrics: Metrics
    may_begin: Callable[[], bool] = _always
    told: Callable[[str, str, Outcome], None] = _tell_nobody

    def step(self, now: float | None = None) -> bool:
        """Send the object that has waited longest; returns whether there was one and its delivery has ended.

        While the disk cannot be written it sends nothing: it could not record the delivery, and would send the object
        again.
        """
        watch = self.store.watch
        if not watch.may_work() or not self.may_begin():
            return False
        try:
            with watch.guard(), held_if_free(self.lock) as mine:
                if not mine:
                    return False
                now = time.time() if now is None else now
                item = self.store.due(self.destination.name, now)
                return item is not None and self._send(item, now)
        except Unavailable:  # as the watch has said
            return False

    def _send(self, item: Due, now: float) -> bool:
        name = self.destination.name
        outcome = self.destination.send(item.content)
        self.metrics.deliveries(name, outcome).inc()
        self.told(name, item.uid, outcome)
        if outcome == "retry":
            self.store.postpone(name, item.uid, now + self.backoff.pause_s(item.attempts + 1))
            return False
        if outcome == "refused":
            logger.error("%s refuses a result: it is not sent again", name)
        self.store.settle(name, item.uid)
        return True


class Delivery:
    """The spool, the result store, and the threads of one worker."""

    def __init__(
        self, spool: Spool, store: ResultStore, judging: SpoolWork, delivering: Sequence[DeliveryWork]
    ) -> None:
        self.spool = spool
        self.store = store
        self._threads = [
            Repeating("judging", judging.step),
            *(Repeating(f"delivering to {each.destination.name}", each.step) for each in delivering),
        ]

    def start(self) -> None:
        """Start to judge and to deliver."""
        for thread in self._threads:
            thread.start()

    @property
    def watch(self) -> StorageWatch:
        """The watch of the disk that holds spool and results."""
        return self.store.watch

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Begin no further step; wait after the block for the running ones, which the block may hurry."""
        for thread in self._threads:
            thread.stop()
        yield
        for thread in self._threads:
            thread.join()
