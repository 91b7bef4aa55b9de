"""What came to an archive in an outage and has no result: found by QIDO-RS (PS3.18 10.6), and asked for as jobs that
fetch it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from app.delivery.database.pulls import Pull
from app.delivery.database.series_states import DROPPED
from app.delivery.database.store import ResultStore
from app.delivery.database.submissions import Submission
from app.delivery.fetching.source import CT, MODALITY, SERIES_UID, Dataset, DicomwebSource, NotFetched, segment
from app.delivery.fetching.source import value_in as value
from app.delivery.fetching.source import values_in as values
from app.delivery.spool.spool import Spool
from app.reports.result import REPORT_SERIES

STUDY_UID: Final = "0020000D"
STUDY_DATE, STUDY_TIME = "00080020", "00080030"
DESCRIPTION, BODY_PART = "0008103E", "00180015"
EVIDENCE, REFERENCED_SERIES = "0040A375", "00081115"  # of a report, the series on which it is (PS3.3 C.17.2.3)
PAGE: Final = 100  # studies in one answer
# Around the span that is asked for: clocks differ, and a study comes to the archive after it was begun.
MARGIN: Final = timedelta(hours=2)
# `missing` is asked for, but by a dry run; `waiting` was before; `known` here; `reported` on in the archive, by us.
Outcome: TypeAlias = Literal["asked", "missing", "waiting", "known", "reported", "left_out", "failed"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A series as the archive lists it; None for what it does not say."""

    uid: str
    modality: str | None
    description: str | None
    body_part: str | None

    @property
    def is_ct(self) -> bool:
        """Whether it may be CT: some archives list no modality."""
        return self.modality in (CT, None) and not self.is_ours

    @property
    def is_ours(self) -> bool:
        """Whether it holds structured reports of ours."""
        return self.description == REPORT_SERIES


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of a study with CT: of `series` it has no result; `job` fetches them, `code` says why it cannot be
    looked at."""

    study_uid: str
    outcome: Outcome
    series: tuple[str, ...] = ()
    job: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Looks through an archive, and asks for what has no result in the archive and is not known here.

    `takes` says whether the rules may let a series be judged; with `one_per_study` a study with one result needs no
    other. Jobs are kept for `keep_s`.
    """

    source: DicomwebSource
    spool: Spool
    store: ResultStore
    takes: Callable[[Listed], bool]
    one_per_study: bool
    keep_s: float

    def run(self, since: datetime, until: datetime, most: int, *, dry_run: bool = False) -> Iterator[Looked]:
        """The studies of a span in the local time of the archive, each when it was looked at; it ends after `most` of
        which something is missing. Raises NotFetched when the archive does not answer, or not what it should."""
        left = most
        for study_uid in self._studies(since - MARGIN, until + MARGIN):
            looked = self._looked(study_uid)
            if looked is None:
                continue
            if looked.outcome == "missing":
                left -= 1
                if not dry_run:
                    looked = self._ask(looked)
            yield looked
            if not left:
                return

    def _studies(self, since: datetime, until: datetime) -> Iterator[str]:
        """The studies of a span, page by page, until a page has no other: some archives know no pages."""
        query = f"/studies?StudyDate={since:%Y%m%d}-{until:%Y%m%d}&ModalitiesInStudy={CT}&limit={PAGE}"
        seen: set[str] = set()
        listed = 0
        while page := self.source.search(f"{query}&offset={listed}"):
            listed += len(page)
            new = {uid: each for each in page if (uid := value(each, STUDY_UID)) is not None and uid not in seen}
            if not new:
                return
            seen.update(new)
            yield from (uid for uid, study in new.items() if _is_within(study, since, until))

    def _looked(self, study_uid: str) -> Looked | None:
        """What there is of a study, or why that cannot be said; None of one without CT."""
        try:
            return self._compared(study_uid)
        except NotFetched as error:
            if error.passing:
                raise
            return Looked(study_uid, "failed", code=error.code)

    def _compared(self, study_uid: str) -> Looked | None:
        segment(study_uid)  # before it is looked for
        if self.store.is_fetched(study_uid):
            return Looked(study_uid, "waiting")
        listed = self._series(study_uid)
        ct = [each for each in listed if each.is_ct]
        taken = [each.uid for each in ct if self.takes(each) and segment(each.uid)]
        if not taken:
            return Looked(study_uid, "left_out") if ct else None
        missing = self._unknown(taken)
        if not missing:
            return Looked(study_uid, "known")
        reported = {uid for each in listed if each.is_ours for uid in self._reported_on(study_uid, each.uid)}
        missing = [uid for uid in missing if uid not in reported]
        if not missing or (self.one_per_study and not reported.isdisjoint(taken)):
            return Looked(study_uid, "reported")
        return Looked(study_uid, "missing", tuple(missing))

    def _series(self, study_uid: str) -> list[Listed]:
        fields = f"includefield={DESCRIPTION}&includefield={BODY_PART}"
        found = self.source.search(f"/studies/{segment(study_uid)}/series?{fields}")
        return [
            Listed(uid, value(each, MODALITY), value(each, DESCRIPTION), value(each, BODY_PART))
            for each in found
            if (uid := value(each, SERIES_UID)) is not None
        ]

    def _unknown(self, series: Collection[str]) -> list[str]:
        """Those of a study's series that are not here, nor have been judged; none where one result is enough."""
        places = self.spool.places()
        names = {uid: self.spool.name_of(uid) for uid in series}
        if self.one_per_study and any(self._is_judged(name) for name in names.values()):
            return []
        return [uid for uid, name in names.items() if name not in places and not self._is_settled(name)]

    def _is_judged(self, name: str) -> bool:
        known = self.store.known(name)
        return known is not None and known.judged

    def _is_settled(self, name: str) -> bool:
        """Whether it was looked at, with a result or a reason; not what was only dropped."""
        known = self.store.known(name)
        if known is None or known.judged:
            return known is not None
        status = self.store.status_of(name, {})
        return status is None or status.code != DROPPED

    def _reported_on(self, study_uid: str, report_series: str) -> Iterator[str]:
        """The series to which the reports in a series of ours refer."""
        path = f"/studies/{segment(study_uid)}/series/{segment(report_series)}/metadata"
        for report in self.source.search(path):
            for study in values(report, EVIDENCE):
                for series in values(study, REFERENCED_SERIES):
                    yield value(series, SERIES_UID) or ""

    def _ask(self, looked: Looked) -> Looked:
        job, now = str(uuid.uuid4()), time.time()
        pull = Pull(job, looked.study_uid, looked.series)
        self.store.ask(Submission(job, "", "received", "", now, ()), pull, expires_at=now + self.keep_s)
        return Looked(looked.study_uid, "asked", looked.series, job)


def _is_within(study: Dataset, since: datetime, until: datetime) -> bool:
    """Whether a study was begun in a span; also one of which that is not said. QIDO-RS matches dates and times apart
    (PS3.4 C.2.2.2.5): the days are matched there, the hours here."""
    date, hours = value(study, STUDY_DATE), value(study, STUDY_TIME)
    if date is None or hours is None:
        return True
    return f"{since:%Y%m%d%H%M%S}" <= date + hours[:6].ljust(6, "0") <= f"{until:%Y%m%d%H%M%S}"
