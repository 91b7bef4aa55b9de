"""What benchmarks/planted.py measures of the candidate filters, as it stands in docs/results/planted.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from app.inference.detector import ScoreThreshold, SecondReader


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Band(_Frozen):
    """Plantings of one kind. `with_candidate` is the share that the blob detector finds at all; `sensitivity` and
    `native` (held-out patches as they were scanned) are by false positives per slice."""

    name: str
    plantings: int
    patients: int
    with_candidate: float
    sensitivity: dict[str, Interval]
    native_nodules: int
    native: dict[str, Interval]


class Background(_Frozen):
    """One filter on the scan that taught it nothing, how many false candidates it lets pass to the second reader, and
    the joint scores at which each rate of false positives is shown."""

    filter: str
    scan: str
    held_out_folds: tuple[int, ...]
    hard_negatives: tuple[str, ...]
    slices: int
    candidates_per_slice: float
    passed_per_slice: float
    plantings: int
    left_out: dict[str, int]
    thresholds: dict[str, float]


class KnownNodule(_Frozen):
    """A nodule of a scan and the score of the best candidate on it; None without a candidate."""

    position_mm: tuple[float, float, float]
    diameter_mm: float
    readers: int
    score: float | None
    others_above: int
    found: bool


class WholeScan(_Frozen):
    """Series mode on one scan: known nodules, and what else is shown at the shipped threshold.

    `honest` is False where the filter learned from this scan.
    """

    scan: str
    filter: str
    honest: bool
    candidates: int
    threshold: float
    nodules: tuple[KnownNodule, ...]
    others: int
    others_when_all_found: int | None


class Comparison(_Frozen):
    """Another judge of the same candidates: solid nodules of 6 mm and more by false positives per slice."""

    judge: str
    note: str
    sensitivity: dict[str, Interval]


class DetectorResults(_Frozen):
    """Everything measured, the command and how. `networks` are the filters' weights by name, `classifiers` those of the
    second reader by the scan that they are judged on."""

    command: str
    protocol: str
    networks: dict[str, str]
    classifiers: dict[str, str]
    plantings: int
    patients: int
    backgrounds: tuple[Background, ...]
    bands: tuple[Band, ...]
    slice_threshold: ScoreThreshold
    second_reader: SecondReader
    series_threshold: ScoreThreshold
    scans: tuple[WholeScan, ...]
    comparisons: tuple[Comparison, ...]
    shipped_on_seen_scans: dict[str, Interval]
