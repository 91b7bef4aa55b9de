"""The archive from which jobs fetch series, as the settings name it, and how its answers get into the spool."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Final

from app.api.destinations import access_of
from app.api.dicomweb.multipart_related import RelatedReader
from app.delivery.database.pulls import Pull
from app.delivery.fetching.pulling import Fetched
from app.delivery.fetching.source import MALFORMED, NOT_THERE, TOO_MUCH, DicomwebSource, NotFetched, SourceBounds
from app.delivery.spool.spool import Reception
from app.errors import FormTooLarge, MalformedForm, UnsupportedMediaType
from app.imaging.values import is_uid
from app.intake import Intake
from app.judgement.records import Actor, Records
from app.settings import MEGABYTE, Settings

MAX_SERIES: Final = 64  # of one job: a study has a dozen, and a few dozen of several phases


@dataclass(frozen=True, slots=True)
class Fetching:
    """Fetches what a pull names, all CT series of a study where it names none, at most `most_instances` of each."""

    source: DicomwebSource
    records: Records
    most_instances: int

    def __call__(self, pull: Pull, reception: Reception) -> Fetched:
        """See `app.delivery.fetching.pulling.Fetch`."""
        with closing(Intake(reception, pull.study_uid)) as intake:
            for series_uid in self._series_of(pull):
                self._fetch(pull.study_uid, series_uid, intake)
        if not intake.stored:
            raise NotFetched(NOT_THERE)
        self.records.happened("store", Actor(), None, subject=intake.subject(), details=intake.counts())
        return Fetched(frozenset(intake.series()), intake.accessions())

    def _series_of(self, pull: Pull) -> tuple[str, ...]:
        series = pull.series_uids or tuple(dict.fromkeys(self.source.ct_series(pull.study_uid)))
        if len(series) > MAX_SERIES:
            raise NotFetched(TOO_MUCH)
        if not all(map(is_uid, series)):
            raise NotFetched(MALFORMED)
        return series

    def _fetch(self, study_uid: str, series_uid: str, intake: Intake) -> None:
        with self.source.series(study_uid, series_uid) as (content_type, chunks):
            try:
                reader = RelatedReader(content_type, intake, self.most_instances)
                for chunk in chunks:
                    reader.feed(chunk)
                reader.finish()
            except FormTooLarge:
                raise NotFetched(TOO_MUCH) from None
            except UnsupportedMediaType:
                raise NotFetched(MALFORMED) from None
            except MalformedForm:  # it may have been cut off on its way
                raise NotFetched(MALFORMED, passing=True) from None


def fetching_of(settings: Settings, records: Records) -> Fetching | None:
    """What fetches from LUNGSCOPE_PULL_URL; None where there is none."""
    if settings.pull_url is None:
        return None
    access = access_of(settings, settings.pull_url, settings.pull_token, settings.pull_user, settings.pull_password)
    bounds = SourceBounds(settings.max_study_mb * MEGABYTE, settings.pull_seconds)
    return Fetching(DicomwebSource(access, bounds), records, settings.max_parts)
