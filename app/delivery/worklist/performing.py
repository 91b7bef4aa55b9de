"""Performs workitems: claims them, has their series fetched, and says how far it is and what became of them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.delivery.attributes import first_item
from app.delivery.database.pulls import Pull
from app.delivery.database.series_states import DROPPED, REFUSED, SeriesStatus
from app.delivery.database.submissions import CANCELLED, Submission
from app.delivery.database.workitems import Workitem
from app.delivery.inbox import Inbox
from app.delivery.judging import always
from app.delivery.spool.kept import HOUR_S
from app.delivery.turns import in_turn
from app.delivery.worklist.performed import (
    PROGRESS,
    Reason,
    UnusableInput,
    begun,
    completed,
    discontinued,
    input_of,
    with_progress,
)
from app.delivery.worklist.procedure_steps import Station

MOST_AT_WORK: Final = 64  # claimed at once: what waits longer can be claimed by another, and goes by priority
UNUSABLE: Final = "unusable_input"
UNSETTLED: Final = ("waiting", "judging")
JUDGED: Final = ("judged", "delivering", "delivered")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Performing:
    """Works on workitems, in one process at a time. What it does is in the database: another process goes on.

    Nothing is begun unless `may_begin`. An ended workitem is kept for `keep_hours`.
    """

    inbox: Inbox
    station: Station
    lock: Path
    keep_hours: float
    may_begin: Callable[[], bool] = always

    def step(self, now: float | None = None) -> bool:
        """Note how far each workitem is, and claim the next if nothing is to be fetched now; whether it claimed one."""
        return in_turn(self.inbox.store, self.lock, self.may_begin, now, self._next)

    def _next(self, now: float) -> bool:
        store = self.inbox.store
        at_work = store.workitems_at_work()
        for each in at_work:
            self._follow(each, now)
        if len(at_work) >= MOST_AT_WORK or store.due_pull(now) is not None:
            return False
        item = store.next_workitem()
        return item is not None and self._begin(item, now)

    def _begin(self, item: Workitem, now: float) -> bool:
        job = str(uuid.uuid4())
        claimed = begun(item, f"2.25.{uuid.uuid4().int}", job, self.station, now)
        try:
            study_uid, series_uids = input_of(item.attributes)
        except UnusableInput:
            words = f"{UNUSABLE}: the Input Information Sequence does not name series of one study"
            return self._end(discontinued(claimed, Reason(words), now), now)
        submission = Submission(job, "", "received", "", now, ())
        pull = Pull(job, study_uid, series_uids)
        return self.inbox.store.claim_workitem(claimed, submission, pull, expires_at=self._expiry(now))

    def _follow(self, item: Workitem, now: float) -> None:
        submission = self.inbox.store.submission(item.job)
        if submission is None:
            self._end(discontinued(item, Reason(DROPPED), now), now)
        elif submission.state == "received":
            code = submission.code
            self._tell(item, 0, f"to be fetched again: {code}" if code else "to be fetched")
        elif submission.state != "sent":
            self._end(discontinued(item, Reason(submission.code or CANCELLED), now), now)
        # Only now: of a job that was not yet sent, the series may be in the spool and not be seen there.
        elif (status := self.inbox.job(item.job)) is not None:
            self._judging(item, status.series, now)

    def _judging(self, item: Workitem, series: Sequence[SeriesStatus], now: float) -> None:
        settled = sum(each.state not in UNSETTLED for each in series)
        if settled == len(series):
            self._settle(item, series, now)
        else:
            self._tell(item, 100 * settled // len(series), f"{settled} of {len(series)} series settled")

    def _settle(self, item: Workitem, series: Sequence[SeriesStatus], now: float) -> None:
        results = [each for one in series for each in self.inbox.store.results_of(one.name)]
        judged = sum(map(_is_judged, series))
        why_not = sorted({each.code for each in series if not _is_judged(each)})
        words = "; ".join([f"{judged} of {len(series)} series judged", *why_not])
        if judged:
            self._end(completed(item, results, words, now), now)
        else:
            self._end(discontinued(item, Reason(", ".join(why_not) or DROPPED), now, results), now)

    def _tell(self, item: Workitem, percent: int, words: str) -> None:
        told = with_progress(item, percent, words)
        if first_item(told.attributes, PROGRESS) != first_item(item.attributes, PROGRESS):
            self.inbox.store.replace_workitem(told, expires_at=self._expiry(time.time()))

    def _end(self, item: Workitem, now: float) -> bool:
        ended = self.inbox.store.replace_workitem(item, expires_at=self._expiry(now))
        if ended:
            logger.info("a workitem has ended", extra={"fields": {"state": item.state}})
        return ended

    def _expiry(self, now: float) -> float:
        return now + self.keep_hours * HOUR_S


def _is_judged(series: SeriesStatus) -> bool:
    return series.state in JUDGED or (series.state == "failed" and series.code == REFUSED)
