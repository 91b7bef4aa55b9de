"""Judges a spooled series and writes its result objects, as `/v1/studies` does for a client that waits; or says in one
that the series was not judged, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from app.errors import FrameRequired, InputError
from app.imaging.header import Header, read_header
from app.judgement.answers_kept import with_answers
from app.judgement.formats import paper_of, series_result, stored
from app.judgement.judge import Judge, Judgement
from app.judgement.orders import Order, ordered_refusal, ordered_results
from app.judgement.parameters import Parameters
from app.judgement.selection import SeriesRules
from app.reports.hl7 import Subject
from app.reports.predecessor import reference_to
from app.reports.report import ResultOptions
from app.reports.result import ObjectKind, ReportReference, SeriesResult
from app.reports.source import SourceHeader


def _tell_nobody(_judgement: Judgement) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SpooledJudge:
    """Judges the files of one spooled series that the `rules` do not leave out, and writes what was ordered of it, or
    without `orders` each result once; `results` are other choices than those that the judge makes for everybody."""

    judge: Judge
    judged: Callable[[Judgement], None] = _tell_nobody
    orders: Sequence[Order] = ()
    rules: SeriesRules | None = None
    results: ResultOptions | None = None

    def __call__(
        self,
        paths: Sequence[Path],
        arrived: datetime,
        cancelled: Callable[[], bool],
        wanted: Collection[ObjectKind],
        predecessor: ReportReference | None = None,
    ) -> SeriesResult:
        """The results of the kinds `wanted`. A series of one slice is judged as a slice.

        `judged` is told of the judgement. The results bear the time `arrived` at which the series came, so that a
        second attempt writes the same; the report names the `predecessor` that it replaces. Raises the errors of a
        series that cannot be judged, LeftOutByRules, and Cancelled.
        """
        if self.rules is not None:
            self.rules.require(paths)
        judgement = self._only_slice(paths) or self.judge.files(paths, Parameters(), _no_progress, cancelled)
        self.judged(judgement)
        if self.results is not None:
            judgement = replace(judgement, results=self.results)
        report = judgement.report(headers_in(paths, judgement.shown_instances), arrived)
        report = replace(report, predecessor=predecessor, lasting=True)
        pdf = partial(paper_of, judgement, report) if report.options.fhir_pdf else None
        if self.orders:
            result = ordered_results(judgement, report, wanted, self.orders, self.judge.metrics, pdf)
        else:
            result = series_result(report, wanted, self.judge.metrics, pdf)
        if "answer" in wanted:
            return with_answers(result, judgement, report, self.judge.metrics)
        return result

    def refused(
        self, paths: Sequence[Path], arrived: datetime, code: str, words: str, predecessor: ReportReference | None
    ) -> SeriesResult | None:
        """What says that a series was not judged, for the reason with this code and in these words; None where no
        header can be read to refer to."""
        # Imports highdicom: for those who need it.
        from app.reports.dicom import quiet_highdicom, to_bytes
        from app.reports.unprocessed import Reason, write_unprocessed

        quiet_highdicom()
        bundle = self.judge.registry.models().classifier.bundle
        headers = _readable_headers(paths)
        instance = write_unprocessed(
            headers,
            Reason(code, words),
            bundle,
            arrived,
            predecessor,
            deidentified=self.judge.deidentify,
        )
        if instance is None:
            return None
        report = stored(instance, to_bytes(instance))
        if not self.orders:
            return SeriesResult([report], reference_to(instance))
        series_uid = next(filter(None, (Header(header).text("SeriesInstanceUID") for header in headers)), "")
        # The report has taken over what is valid of patient and study.
        dated = not self.judge.deidentify
        subject = Subject(SourceHeader.of(instance), report.study_uid, series_uid, arrived, dated)
        said = ordered_refusal(report, subject, code, words, self.orders, self.judge.metrics)
        return SeriesResult(said, reference_to(instance))

    def _only_slice(self, paths: Sequence[Path]) -> Judgement | None:
        """The judgement of a series of one single-frame file; None for any other."""
        if len(paths) > 1:
            return None
        try:
            return self.judge.slice(paths[0].read_bytes(), Parameters())
        except FrameRequired:
            return None


def _no_progress(_stage: str, _done: int, _of: int) -> None:
    pass


def headers_in(paths: Sequence[Path], uids: set[str | None]) -> list[Dataset]:
    """The headers of the instances with these SOP Instance UIDs, among some files."""
    found: dict[str | None, Dataset] = {}
    for path in paths:
        if uids <= found.keys():
            break
        header = _read(path)
        if (uid := Header(header).text("SOPInstanceUID")) in uids:
            found[uid] = header
    return list(found.values())


def _readable_headers(paths: Sequence[Path]) -> list[Dataset]:
    found: list[Dataset] = []
    for path in paths:
        try:
            found.append(_read(path))
        except (InputError, OSError):  # others may say to which study the series belongs
            continue
    return found


def _read(path: Path) -> Dataset:
    with path.open("rb") as stream:
        return read_header(stream)
