"""What benchmarks/second_look.py measures of the second look, as it stands in docs/results/second_look.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from app.inference.suspicion import ScanPoint, ScoreRule


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CurvePoint(_Frozen):
    """At one score: shares of lesion-free slices called suspicious, and of suspicious nodules found."""

    score: float
    false_alarms: float
    planted: float
    native: float


class ScanFigures(_Frozen):
    """One scan, judged by a network that saw neither it nor the nodules planted into it.

    `at_own_score` is at a score that the other scans chose, `at_shipped_score` at the one that is shipped.
    """

    scan: str
    network: str
    slices: int
    slices_with_lung: int
    plantings: int
    native_nodules: int
    passed_per_slice: float
    chosen_by_others: float
    at_own_score: CurvePoint
    at_shipped_score: CurvePoint
    curve: tuple[CurvePoint, ...]


class KnownLesion(_Frozen):
    """A lesion that three readers or the scan's keep-out mark, and its best finding's score, None without one."""

    position_mm: tuple[float, float, float]
    diameter_mm: float
    readers: int
    suspicious: bool
    score: float | None


class SeriesFigures(_Frozen):
    """A scan in series mode: its known lesions and the scores of the strongest findings on nothing known."""

    scan: str
    network: str
    candidates: int
    lesions: tuple[KnownLesion, ...]
    false_scores: tuple[float, ...]


class ChestRow(_Frozen):
    """A slice of the chest slices by the network that saw none of its patient: the score of its best finding."""

    file: str
    region: str
    reading: str
    network: str
    score: float | None
    at_mass: float | None


class LookResults(_Frozen):
    """Everything measured, the command and how. `networks` are weights by name."""

    command: str
    protocol: str
    networks: dict[str, str]
    filter_digest: str
    classifier_digest: str | None = None
    rule: ScoreRule
    plantings: int
    patients: int
    slice_point: ScanPoint
    series_point: ScanPoint
    figures: dict[str, Interval]
    pooled: tuple[CurvePoint, ...] = ()
    scans: tuple[ScanFigures, ...] = ()
    series: tuple[SeriesFigures, ...] = ()
    chest: tuple[ChestRow, ...] = ()
