"""Judges two series and compares them; of each only what is compared outlives its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from app.comparison.compare import Comparison, Scan, compare
from app.comparison.lung_shape import lung_shape, scan_grid
from app.comparison.patients import HeaderFacts, header_facts
from app.imaging.volume import CTVolume
from app.judgement.judge import Judgement


@dataclass(frozen=True, slots=True, eq=False)
class JudgedScan:
    """One of two series: what is compared of it, its answer, and what its findings are called in result objects, by
    id."""

    scan: Scan
    answer: Mapping[str, Any]
    tracking_uids: Mapping[int, str]


def judged_scan(judgement: Judgement, answer: Mapping[str, Any], headers: Sequence[Dataset]) -> JudgedScan:
    """What is kept of a series' judgement; `headers` are of any of its instances, none for no headers kept."""
    volume = judgement.image
    if not isinstance(volume, CTVolume):
        raise TypeError("only series are compared")
    facts = header_facts(headers[0]) if headers else HeaderFacts()
    report = judgement.report((), datetime.now(UTC))
    names = {finding.id: report.tracking_uid(finding) for finding in judgement.prediction.findings}
    scan = Scan(judgement.prediction, scan_grid(volume), lung_shape(volume), facts)
    return JudgedScan(scan, answer, names)


def compared(current: JudgedScan, prior: JudgedScan) -> Comparison:
    """Both beside each other; raises DifferentPatients, PriorAfterCurrent."""
    return compare(current.scan, prior.scan)
