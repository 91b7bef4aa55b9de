"""Judges two series and compares them; of each only what is compared outlives its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from app.comparison import patients
from app.comparison.compare import Comparison, Scan, compare
from app.comparison.lung_shape import lung_shape, scan_grid
from app.comparison.patients import HeaderFacts, header_facts
from app.imaging.volume import CTVolume
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


def judged_scan(judgement: Judgement, answer: Mapping[str, Any], facts: HeaderFacts) -> JudgedScan:
    """What is kept of a series' judgement; `facts` are what its header says."""
    volume = judgement.image
    if not isinstance(volume, CTVolume):
        raise TypeError("only series are compared")
    report = judgement.report((), datetime.now(UTC))
    names = {finding.id: report.tracking_uid(finding) for finding in judgement.prediction.findings}
    scan = Scan(judgement.prediction, scan_grid(volume), lung_shape(volume), facts)
    return JudgedScan(scan, answer, names)


def compared(current: JudgedScan, prior: JudgedScan) -> Comparison:
    """Both beside each other; raises DifferentPatients, PriorAfterCurrent."""
    return compare(current.scan, prior.scan)
