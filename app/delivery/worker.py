"""The threads of each worker that judge spooled series and deliver results, and what the doors ask of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.delivery.database.series_states import SeriesStatus
from app.delivery.database.storage import pause_s
from app.delivery.database.store import Due, ResultStore
from app.delivery.destinations.destination import Destination, Outcome, Refused
from app.delivery.inbox import Inbox
from app.delivery.judging import SpoolWork, always
from app.delivery.spool.kept import HOUR_S
from app.delivery.spool.spool import Spool
from app.delivery.turns import in_turn
from app.delivery.worklist.worklist import Worklist
from app.telemetry import Metrics

POLL_S: Final = 1.0  # a series waits for seconds anyway
STOP_PATIENCE_S: Final = 5.0
MAX_PAUSE_S: Final = HOUR_S  # a destination that comes back is found within an hour
logger = logging.getLogger(__name__)


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

    Nothing is sent unless `may_begin`; `told` is called with destination, UID and outcome of each attempt. What
    everybody has is deleted after `delivered_hours`.
    """

    store: ResultStore
    destination: Destination
    lock: Path
    backoff: Backoff
    metrics: Metrics
    may_begin: Callable[[], bool] = always
    told: Callable[[str, str, Outcome], None] = _tell_nobody
    delivered_hours: float | None = None

    def step(self, now: float | None = None) -> bool:
        """Send the object that has waited longest; returns whether there was one and its delivery has ended.

        While the disk cannot be written it sends nothing: it could not record the delivery, and would send the object
        again.
        """
        return in_turn(self.store, self.lock, self.may_begin, now, self._next)

    def _next(self, now: float) -> bool:
        item = self.store.due(self.destination.name, now)
        return item is not None and self._send(item, now)

    def _send(self, item: Due, now: float) -> bool:
        name, code = self.destination.name, ""
        try:
            outcome = self.destination.send(item.content)
        except Refused as refusal:
            outcome, code = "refused", refusal.code
        self.metrics.deliveries(name, outcome).inc()
        self.told(name, item.uid, outcome)
        if outcome == "retry":
            self.store.postpone(name, item.uid, now + self.backoff.pause_s(item.attempts + 1))
            return False
        if outcome == "delivered":
            self.metrics.last_delivered(name).set(now)
        if outcome == "refused":
            logger.error("%s refuses a result: it is not sent again", name)
        case = self.store.case_of_result(item.uid)
        expires_at = None if self.delivered_hours is None else now + self.delivered_hours * HOUR_S
        self.store.settle(name, item.uid, refused=outcome == "refused", code=code, expires_at=expires_at)
        fields = {"destination": name, "outcome": outcome, **({} if case is None else case.fields())}
        logger.info("a delivery has ended", extra={"fields": fields})
        return True


class Delivery(Inbox):
    """The spool, the result store, and the threads of one worker."""

    def __init__(
        self,
        spool: Spool,
        store: ResultStore,
        judging: SpoolWork,
        delivering: Sequence[DeliveryWork],
        hashed: Callable[[str, str], str],
        pull: Callable[[], bool] | None = None,
        perform: Callable[[], bool] | None = None,
        worklist: Worklist | None = None,
    ) -> None:
        super().__init__(spool, store, hashed, most_bytes=judging.most_bytes, keep_hours=judging.keep_hours)
        self.worklist = worklist  # None where nothing is fetched
        self._threads = [
            Repeating("judging", judging.step),
            *(Repeating(f"delivering to {each.destination.name}", each.step) for each in delivering),
            *(
                Repeating(name, step)
                for name, step in (("fetching", pull), ("performing", perform))
                if step is not None
            ),
        ]

    def start(self) -> None:
        """Start to judge and to deliver."""
        for thread in self._threads:
            thread.start()

    def statuses(self, study_uid: str) -> list[SeriesStatus]:
        """Where each series of a study stands; none of a study that never came, or long ago."""
        return self.store.statuses(study_uid, self.spool.places())

    def answers_about(self, series: SeriesStatus) -> bytes | None:
        """The answers that stand about a series of a job; None while it waits to be judged, again or for the first
        time."""
        return None if series.state in ("waiting", "judging") else self.store.answers_about(series.name)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Begin no further step; wait after the block for the running ones, which the block may hurry."""
        for thread in self._threads:
            thread.stop()
        yield
        for thread in self._threads:
            thread.join()
