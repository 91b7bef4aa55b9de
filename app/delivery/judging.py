"""Judges complete series of the spool, keeps their results, and says of the others why they were not judged."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from app.delivery.database.clock_steps import ClockReading, read_clock
from app.delivery.database.series_states import DROPPED, KnownSeries, Settled, Verdict
from app.delivery.database.storage import is_of_storage
from app.delivery.database.store import ResultStore
from app.delivery.reconstructions import OnePerStudy, another_judged
from app.delivery.spool.claim import Claim
from app.delivery.spool.kept import HOUR_S
from app.delivery.spool.spool import Spool
from app.errors import (
    DecoderUnavailable,
    InputError,
    LeftOutByRules,
    LocalizerImage,
    NotAxial,
    Overloaded,
    Unavailable,
)
from app.inference.series import Cancelled
from app.inference.series_lane import SeriesLane
from app.reports.result import ObjectKind, ReportReference, SeriesResult
from app.telemetry import Metrics

MAX_ATTEMPTS: Final = 3  # of judging: what fails, or kills its judge, that often is set apart
NO_LIMIT_BYTES: Final = 1 << 62
# What nobody expects to be judged, and every study has: a scout, and the coronal and sagittal views of a series.
LEFT_OUT: Final = (LocalizerImage, NotAxial, LeftOutByRules)
# Codes of series that were set apart, with the words for them.
FAILED, UNREADABLE, DEADLY = "internal_error", "unreadable", "judge_ended"
WORDS: Final = {
    FAILED: "the service failed at it, three times",
    UNREADABLE: "its files could not be read, three times",
    DEADLY: "the process that judged it ended, three times",
}
logger = logging.getLogger(__name__)

# Files of one series, when its last instance came, whether to stop, the kinds of result objects wanted, and the report
# on the same series that the new one replaces.
JudgeSeries = Callable[
    [Sequence[Path], datetime, Callable[[], bool], frozenset[ObjectKind], ReportReference | None], SeriesResult
]
# The same of a series that is not judged: its files, when the last came, code and words of the reason, and the report.
SayWhyNot = Callable[[Sequence[Path], datetime, str, str, ReportReference | None], SeriesResult | None]


def always() -> bool:
    """Whether to begin: yes."""
    return True


@dataclass(frozen=True, slots=True)
class SpoolWork:
    """Judges complete series, one at a time, each in a slot that the lane keeps for them.

    Nothing is begun unless `may_begin`, nor while results take `most_bytes`. `say_why_not` writes a result object for a
    series that is not judged; without it there is none. `one_per_study` chooses among the series of a study; without it
    each is judged.
    """

    spool: Spool
    store: ResultStore
    lane: SeriesLane
    judge: JudgeSeries
    destinations: Mapping[ObjectKind, Sequence[str]]
    metrics: Metrics
    keep_hours: float
    may_begin: Callable[[], bool] = always
    say_why_not: SayWhyNot | None = None
    most_bytes: int = NO_LIMIT_BYTES
    read_clock: Callable[[], ClockReading | None] = read_clock
    one_per_study: OnePerStudy | None = None

    def step(self, now: float | None = None) -> bool:
        """Sweep the spool, and judge one series if one is complete; returns whether there was one.

        What can be judged is, however old a clock that was set makes it look; what is too old is dropped where there
        is nothing to judge. While the disk cannot be written nothing is judged: it would be in vain, over and over.
        """
        now = time.time() if now is None else now
        watch = self.store.watch
        if not watch.may_work():
            with suppress(OSError, sqlite3.Error):
                self.spool.sweep(now)
                self._drop_old(now)
            return False
        try:
            with watch.guard():
                self._sweep(now)
                may_begin = self.may_begin() and self.store.make_room(self.most_bytes)
                claim = self.spool.claim(now, self._may_take) if may_begin else None
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
        known = self.store.known(claim.series)
        if claim.attempts >= MAX_ATTEMPTS:
            self._set_apart(claim, DEADLY, known)
            return True
        if known is not None and not known.instances <= claim.instances:
            self._leave_alone(claim)
            return True
        if self.one_per_study is not None and self.one_per_study.is_spare(claim.series, claim.paths):
            self._refuse(claim, another_judged(), known)
            return True
        attempt = claim.begin()
        wanted = frozenset[ObjectKind]({"dicom", *self.destinations})
        if self.store.is_asked_for(claim.series):
            wanted |= {"answer"}
        try:
            result = self.judge(claim.paths, claim.arrived, cancelled, wanted, None if known is None else known.report)
        except (InputError, LeftOutByRules) as error:
            self._refuse(claim, error, known)
            return True
        except (Cancelled, DecoderUnavailable):
            claim.forgive()
            return False
        except Unavailable:
            claim.forgive()
            raise
        # Whatever else a decoder or a runtime raises must not stop the next series.
        except Exception as error:
            logger.error("judging a spooled series failed, attempt %d of %d", attempt, MAX_ATTEMPTS, exc_info=error)
            if attempt >= MAX_ATTEMPTS:
                self._set_apart(claim, UNREADABLE if isinstance(error, OSError) else FAILED, known)
            return True
        settled = Settled(claim.series, "judged", claim.instances, "", result.report, result.unwritten)
        if self._put(claim, result, settled):
            self._ended(claim, "judged")
            self._finish(claim)
        elif attempt >= MAX_ATTEMPTS:
            self._set_apart(claim, FAILED, known)
        return True

    def _may_take(self, series: Path) -> bool:
        return self.one_per_study is None or self.one_per_study.may_take(series)

    def _refuse(self, claim: Claim, error: InputError | LeftOutByRules, known: KnownSeries | None) -> None:
        """A series that cannot be judged, or is left out, and why."""
        left_out = isinstance(error, LEFT_OUT)
        words = f"found {error.found}; expected {error.expected}"
        result = None if left_out else self._why_not(claim, error.code, words, known)
        verdict: Verdict = "left_out" if left_out else "unfit"
        report = None if result is None else result.report
        if self._put(claim, result, Settled(claim.series, verdict, claim.instances, error.code, report)):
            if not left_out:
                # Its class only: a message counts files, and names nothing, but belongs to whoever sent them.
                logger.warning("a spooled series cannot be judged: %s", type(error).__name__)
            self._ended(claim, verdict)
            self._finish(claim)

    def _set_apart(self, claim: Claim, code: str, known: KnownSeries | None) -> None:
        """Move a series to quarantine, and say so. Saying it may be what ends the process: it is tried once."""
        told = claim.attempts > MAX_ATTEMPTS
        result = None
        if not told:
            claim.begin()
            result = self._why_not(claim, code, WORDS[code], known)
        report = None if result is None else result.report
        settled = Settled(claim.series, "failed", claim.instances, code, report)
        if not self._put(claim, result, settled):
            self._put(claim, None, Settled(claim.series, "failed", claim.instances, code))
        self._ended(claim, {UNREADABLE: "unreadable", DEADLY: "quarantined"}.get(code, "failed"))
        claim.set_apart(WORDS[code])
        self.store.forget(claim.id)

    def _leave_alone(self, claim: Claim) -> None:
        """Instances that came when what was judged with them is no longer here: alone they would say something else."""
        logger.warning("instances came late: what was judged of their series is no longer kept, and they wait for it")
        self.store.came_late(claim.series, now=time.time())
        self._ended(claim, "late")
        claim.done(keep=True)

    def _why_not(self, claim: Claim, code: str, words: str, known: KnownSeries | None) -> SeriesResult | None:
        if self.say_why_not is None:
            return None
        # What was found stands: it is not replaced by a report that nothing more could be.
        stands = known is not None and known.judged
        replaced = None if known is None or stands else known.report
        try:
            result = self.say_why_not(claim.paths, claim.arrived, code, words, replaced)
        # Whatever is wrong with a series, its report must not be what stops the next one.
        except Exception as error:
            logger.error("the report that a series was not judged cannot be written", exc_info=error)
            return None
        if result is None or not stands:
            return result
        # Nor by a message: who keeps the last one on an accession number would lose what was found.
        return replace(result, objects=[item for item in result.objects if item.kind == "dicom"])

    def _put(self, claim: Claim, result: SeriesResult | None, settled: Settled) -> bool:
        """Keep the results and what became of the series; whether that was possible. Raises an error that the disk
        causes."""
        now = time.time()
        expires_at = now + self.keep_hours * HOUR_S
        objects = () if result is None else result.objects
        try:
            self.store.put(claim.id, objects, self.destinations, now=now, expires_at=expires_at, settled=settled)
        except Exception as error:
            if is_of_storage(error):
                claim.forgive()
                raise
            logger.error("results of a spooled series cannot be written", exc_info=error)
            return False
        self.store.watch.succeeded()
        return True

    def _ended(self, claim: Claim, outcome: str) -> None:
        """Count a series once, not once an attempt, and log it by its keyed hashes."""
        self.metrics.spooled_series(outcome).inc()
        case = self.store.case_of(claim.series)
        fields = {"series": claim.series, "outcome": outcome, **({} if case is None else case.fields())}
        logger.info("a series has been settled", extra={"fields": fields})

    def _finish(self, claim: Claim) -> None:
        claim.done(keep=True)
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
            logger.error("%d spooled series were too old to be judged and are dropped", len(dropped))
            self.metrics.spooled_series("expired").inc(len(dropped))
        for name, instances in dropped.items():
            self.store.drop(Settled(name, "failed", instances, DROPPED), now=now, keep_s=self.keep_hours * HOUR_S)
