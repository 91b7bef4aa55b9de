"""Reads two series, refuses what are not two of one patient, and compares what was judged of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydicom.dataset import Dataset

from app.comparison import patients
from app.comparison.compare import Comparison, Place, Scan, compare
from app.comparison.lung_shape import lung_shape, scan_grid
from app.comparison.patients import HeaderFacts, header_facts
from app.guidelines.guidance import Guidance
from app.imaging.volume import CTVolume
from app.inference.expected import nodule_at
from app.inference.prediction import Finding
from app.inference.sections import SectionReader
from app.inference.series import Cancelled
from app.inference.vocabulary import Language
from app.judgement.compared_case import compared_case
from app.judgement.guideline_case import guidance_of
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters
from app.reports.compared import ComparedReport

Headers: TypeAlias = Callable[[Collection[str | None]], Sequence[Dataset]]


def no_headers(_: Collection[str | None]) -> Sequence[Dataset]:
    """Of a series whose headers were not kept."""
    return ()


@dataclass(frozen=True, slots=True, eq=False)
class ReadScan:
    """One of two series before it is judged: what its header says, its headers, the milliseconds it took to read, and
    the digest of its files, if that is kept."""

    volume: CTVolume
    facts: HeaderFacts
    headers: Headers
    decode_ms: float
    input_digest: str | None


@dataclass(frozen=True, slots=True, eq=False)
class JudgedScan:
    """One of two series: its judgement, what is compared of it, its answer, its headers, and what its findings are
    called in result objects, by id."""

    judgement: Judgement
    scan: Scan
    answer: Mapping[str, Any]
    headers: Headers
    tracking_uids: Mapping[int, str]

    @property
    def volume(self) -> CTVolume:
        """The pixels."""
        return _volume(self.judgement)


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPair:
    """Two series beside each other: the one thing from which every format of the answer is written."""

    current: JudgedScan
    prior: JudgedScan
    comparison: Comparison
    guidance: Guidance | None
    parameters: Parameters

    def report(self, written: datetime, language: Language) -> ComparedReport:
        """What DICOM and FHIR are written from, without headers: `with_headers`."""
        current, prior = (each.judgement.report((), written, language) for each in (self.current, self.prior))
        return ComparedReport.of(current, prior, self.comparison, self.guidance)

    def with_headers(self, report: ComparedReport) -> ComparedReport:
        """The same with the headers of the slices that it shows."""
        now, before = report.current.shown_instances, report.prior.shown_instances
        return report.with_headers(self.current.headers(now), self.prior.headers(before))


def read_scan(volume: CTVolume, headers: Headers, decode_ms: float, input_digest: str | None = None) -> ReadScan:
    """A series that was read; `headers` gives those of its instances, none where none were kept."""
    first = headers([volume.sources[0].sop_instance_uid])
    facts = header_facts(first[0]) if first else HeaderFacts()
    return ReadScan(volume, facts, headers, decode_ms, input_digest)


def require_pair(current: ReadScan, prior: ReadScan) -> None:
    """Raise DifferentPatients, PriorAfterCurrent where two series cannot be compared, by their headers alone."""
    patients.require_pair(current.facts, prior.facts)


def judged_scan(
    judgement: Judgement,
    answer: Mapping[str, Any],
    facts: HeaderFacts,
    reader: SectionReader,
    cancelled: Callable[[], bool] = lambda: False,
    headers: Headers = no_headers,
) -> JudgedScan:
    """What is kept of a series' judgement, and of its pixels for as long as it is; `facts` are what its header says.

    `reader` measures where the search has found nothing; it asks `cancelled` each time, and raises Cancelled.
    """
    volume = _volume(judgement)

    def look(place: Place, nodule: Finding) -> Finding | None:
        if cancelled():
            raise Cancelled
        diameter_mm = nodule.soft_diameter_mm if nodule.size is None else nodule.size.mean_mm.value
        return nodule_at(reader, place.index, place.point_px, diameter_mm)

    report = judgement.report((), datetime.now(UTC))
    names = {finding.id: report.tracking_uid(finding) for finding in judgement.prediction.findings}
    scan = Scan(judgement.prediction, scan_grid(volume), lung_shape(volume), facts, look)
    return JudgedScan(judgement, scan, answer, headers, names)


def compared(current: JudgedScan, prior: JudgedScan, parameters: Parameters | None = None) -> ComparedPair:
    """Both beside each other, with what the guidelines that were asked for say; raises DifferentPatients,
    PriorAfterCurrent, Cancelled."""
    asked = parameters or Parameters()
    comparison = compare(current.scan, prior.scan)
    guidance = None
    if asked.guidelines:
        predictions = current.scan.prediction, prior.scan.prediction
        guidance = guidance_of(compared_case(comparison, *predictions, asked.context), asked)
    return ComparedPair(current, prior, comparison, guidance, asked)


def _volume(judgement: Judgement) -> CTVolume:
    if not isinstance(judgement.image, CTVolume):
        raise TypeError("only series are compared")
    return judgement.image
