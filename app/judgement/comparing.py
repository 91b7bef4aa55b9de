"""Reads two series, refuses what are not two of one patient, and compares what was judged of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from app.comparison import patients
from app.comparison.compare import Comparison, Place, Scan, compare
from app.comparison.lung_shape import lung_shape, scan_grid
from app.comparison.patients import HeaderFacts, header_facts
from app.imaging.volume import CTVolume
from app.inference.expected import nodule_at
from app.inference.prediction import Finding
from app.inference.sections import SectionReader
from app.inference.series import Cancelled
from app.judgement.judge import Judgement


@dataclass(frozen=True, slots=True, eq=False)
class ReadScan:
    """One of two series before it is judged: what its header says, the milliseconds it took to read, and the digest of
    its files, if that is kept."""

    volume: CTVolume
    facts: HeaderFacts
    decode_ms: float
    input_digest: str | None


@dataclass(frozen=True, slots=True, eq=False)
class JudgedScan:
    """One of two series: what is compared of it, its answer, and what its findings are called in result objects, by
    id."""

    scan: Scan
    answer: Mapping[str, Any]
    tracking_uids: Mapping[int, str]


def read_scan(
    volume: CTVolume, headers: Sequence[Dataset], decode_ms: float, input_digest: str | None = None
) -> ReadScan:
    """A series that was read; `headers` are of any of its instances, none for no headers kept."""
    facts = header_facts(headers[0]) if headers else HeaderFacts()
    return ReadScan(volume, facts, decode_ms, input_digest)


def require_pair(current: ReadScan, prior: ReadScan) -> None:
    """Raise DifferentPatients, PriorAfterCurrent where two series cannot be compared, by their headers alone."""
    patients.require_pair(current.facts, prior.facts)


def judged_scan(
    judgement: Judgement,
    answer: Mapping[str, Any],
    facts: HeaderFacts,
    reader: SectionReader,
    cancelled: Callable[[], bool] = lambda: False,
) -> JudgedScan:
    """What is kept of a series' judgement, and of its pixels for as long as it is; `facts` are what its header says.

    `reader` measures where the search has found nothing; it asks `cancelled` each time, and raises Cancelled.
    """
    volume = judgement.image
    if not isinstance(volume, CTVolume):
        raise TypeError("only series are compared")

    def look(place: Place, nodule: Finding) -> Finding | None:
        if cancelled():
            raise Cancelled
        diameter_mm = nodule.soft_diameter_mm if nodule.size is None else nodule.size.mean_mm.value
        return nodule_at(reader, place.index, place.point_px, diameter_mm)

    report = judgement.report((), datetime.now(UTC))
    names = {finding.id: report.tracking_uid(finding) for finding in judgement.prediction.findings}
    scan = Scan(judgement.prediction, scan_grid(volume), lung_shape(volume), facts, look)
    return JudgedScan(scan, answer, names)


def compared(current: JudgedScan, prior: JudgedScan) -> Comparison:
    """Both beside each other; raises DifferentPatients, PriorAfterCurrent, Cancelled."""
    return compare(current.scan, prior.scan)
