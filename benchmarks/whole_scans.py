"""Series mode on whole scans: every candidate of a volume scored in three planes, and how the known nodules rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.imaging.planes import PLANES, plane_patches
from app.imaging.volume_candidates import find_volume_candidates
from app.imaging.volume_lungs import segment_volume
from app.inference.bundle import Interval
from app.inference.detector import ScoreThreshold
from benchmarks.proportions import exact_share
from training.data.lidc_xml import parse_reading
from training.data.nodules import DatasetMalformed
from training.data.scans import Scan, ScanConfig, patient_mm
from training.detector.fit import logits
from training.detector.report import KnownNodule, WholeScan

Floats = NDArray[np.float64]

MIN_READERS: Final = 3
MIN_DIAMETER_MM: Final = 4.0
SAME_NODULE_MM: Final = 8.0  # between the middles of two readers' contours of one nodule
HIT_PX: Final = 8.0
MARK_MM: Final = 5.0  # a candidate this near to any mark is not counted as false
SAME_FINDING_MM: Final = 10.0  # weaker candidates this near to a stronger one are the same finding
WANTED_OTHERS: Final = 6.0  # other findings in a scan at the shipped threshold, mean over the scans: the most to show


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """`sections` (slice, column, row) of its contours' middles; diameter of the largest, median over readers."""

    position_mm: Floats
    diameter_mm: float
    readers: int
    sections: Floats

    def holds(self, position: float, centre_px: tuple[float, float]) -> bool:
        """Whether a candidate lies within HIT_PX of its middle, at most a slice away."""
        near = np.abs(self.sections[:, 0] - position) <= 1
        return bool((np.hypot(*(self.sections[near, 1:] - centre_px).T) <= HIT_PX).any())


@dataclass(frozen=True, slots=True, eq=False)
class WholeScanCase:
    """All candidates of a scan: `patches` (N, 3, size, size), `positions_mm` (N, 3), `lesion` (N,) the known lesion
    that each lies on or -1, `marked` (N,) whether it is too near to something known to be false."""

    name: str
    patches: NDArray[np.float32]
    positions_mm: Floats
    lesion: NDArray[np.intp]
    marked: NDArray[np.bool_]
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """A filter, the scan it is judged on, and whether it learned nothing from it."""

    name: str
    network: Any
    scan: str
    honest: bool


def whole_scan_case(scan: Scan, data: Path, config: ScanConfig, spec: PatchSpec) -> WholeScanCase:
    """Find the candidates of a scan and mark those on what is known."""
    volume = scan.volume
    found = find_volume_candidates(volume, segment_volume(volume))
    points = [(*c.centre_px, c.slice_position) for c in found]
    lesions = known_lesions(scan, data, config)
    on = [[k for k, lesion in enumerate(lesions) if lesion.holds(p[2], p[:2])] for p in points]
    return WholeScanCase(
        name=scan.name,
        patches=np.stack([plane_patches(volume, p, spec) for p in points]),
        positions_mm=np.stack([patient_mm(volume, p) for p in points]),
        lesion=np.array([held[0] if held else -1 for held in on], np.intp),
        marked=np.array([scan.clearance_mm(p) <= MARK_MM for p in points], np.bool_),
        lesions=lesions,
    )


def known_lesions(scan: Scan, data: Path, config: ScanConfig) -> tuple[Lesion, ...]:
    """What must be found in a scan: what its readers agree on, or what is known where none have read it."""
    return _read_lesions(scan, data / config.folder / config.readings) if config.readings else _kept_out(scan)


def whole_scan(judge: Judge, case: WholeScanCase, threshold: float) -> WholeScan:
    """What a filter shows of a scan at a score, and how the known lesions rank."""
    scores = _scores(judge.network, case)
    others = _other_findings(case, scores)
    best = [scores[case.lesion == k].max(initial=-np.inf) for k in range(len(case.lesions))]
    return WholeScan(
        scan=case.name,
        filter=judge.name,
        honest=judge.honest,
        candidates=len(scores),
        threshold=threshold,
        nodules=tuple(
            _known(lesion, score, others, threshold) for lesion, score in zip(case.lesions, best, strict=True)
        ),
        others=int((others >= threshold).sum()),
        others_when_all_found=int((others >= min(best)).sum()) if np.isfinite(best).all() else None,
    )


def series_threshold(judges: Sequence[Judge], cases: Mapping[str, WholeScanCase]) -> tuple[float, ScoreThreshold]:
    """The score at which the judges' scans show WANTED_OTHERS other findings each on average, and what it finds."""
    others = [_other_findings(cases[j.scan], _scores(j.network, cases[j.scan])) for j in judges]
    allowed = round(WANTED_OTHERS * len(judges))
    falling = -np.sort(-np.concatenate(others))
    score = float((falling[allowed - 1] + falling[allowed]) / 2) if len(falling) > allowed else float(falling[-1])
    shown = [whole_scan(j, cases[j.scan], score) for j in judges]
    found = [nodule.found for scan in shown for nodule in scan.nodules]
    counts = [scan.others for scan in shown]
    return score, ScoreThreshold(
        score=score,
        per="series",
        chosen_for=f"{WANTED_OTHERS:g} other findings in a scan, mean over {len(judges)} scans, each judged by a "
        "filter that did not learn from it; sensitivity for their known nodules (interval: Clopper and Pearson), false "
        "positives with the least and the most of a scan: one scan each, no general claim",
        sensitivity=exact_share(sum(found), len(found)),
        false_positives=Interval(value=float(np.mean(counts)), low=min(counts), high=max(counts)),
    )


def _scores(network: Any, case: WholeScanCase) -> Floats:
    flat = case.patches.reshape(-1, *case.patches.shape[2:])
    return np.asarray(logits(network, flat).reshape(-1, len(PLANES)).sum(axis=1), np.float64)


def _other_findings(case: WholeScanCase, scores: Floats) -> Floats:
    """Scores of the findings on nothing known, strongest first; neighbours of a stronger candidate are part of it."""
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable").tolist():
        apart_mm = np.linalg.norm(case.positions_mm[kept] - case.positions_mm[k], axis=1)
        if not (apart_mm < SAME_FINDING_MM).any():
            kept.append(k)
    return np.array([scores[k] for k in kept if case.lesion[k] < 0 and not case.marked[k]], np.float64)


def _known(lesion: Lesion, score: float, others: Floats, threshold: float) -> KnownNodule:
    x, y, z = (round(float(v), 1) for v in lesion.position_mm)
    return KnownNodule(
        position_mm=(x, y, z),
        diameter_mm=round(lesion.diameter_mm, 1),
        readers=lesion.readers,
        score=float(score) if np.isfinite(score) else None,
        others_above=int((others >= score).sum()),
        found=bool(score >= threshold),
    )


def _kept_out(scan: Scan) -> tuple[Lesion, ...]:
    """The keep-outs as lesions: nobody outlined them, so the sphere's middle half stands for what must be hit."""
    lesions = []
    spacing = scan.volume.spacing_mm
    for x, y, z, radius_mm in scan.known_mm:
        offset = np.array([x, y, z]) - np.asarray(scan.volume.positions_mm[0])
        axes = (scan.volume.orientation.normal, scan.volume.orientation.row, scan.volume.orientation.column)
        steps = (spacing[0], spacing[2], spacing[1])
        middle = [float(offset @ np.asarray(axis)) / step for axis, step in zip(axes, steps, strict=True)]
        reach = int(radius_mm / 3 / spacing[0])
        sections = np.array([[middle[0] + k, *middle[1:]] for k in range(-reach, reach + 1)])
        lesions.append(Lesion(np.array([x, y, z]), 2 * radius_mm / 3, 0, sections))
    return tuple(lesions)


def _read_lesions(scan: Scan, readings: Path) -> tuple[Lesion, ...]:
    """The nodules that at least MIN_READERS readers rated and that are MIN_DIAMETER_MM or more inside the contour."""
    reading = parse_reading(readings.read_bytes())
    if reading is None:
        raise DatasetMalformed(found=readings.name, expected="a LidcReadMessage", remedy="Check the scan's readings.")
    index_of = {source.sop_instance_uid: k for k, source in enumerate(scan.volume.sources)}
    groups: list[list[tuple[int, float, Floats, Floats]]] = []
    for mark in reading.marks:
        contours = [(index_of[c.sop_uid], np.array(c.points_px, np.float64)) for c in mark.contours if c.included]
        sections = np.array([[index, *points.mean(axis=0)] for index, points in contours])
        areas = [_area_mm2(points, scan.volume.spacing_mm[1:]) for _, points in contours]
        index, column, row = sections[int(np.argmax(areas))]
        entry = (
            mark.reader,
            float(2 * np.sqrt(max(areas) / np.pi)),
            patient_mm(scan.volume, (column, row, index)),
            sections,
        )
        near = (g for g in groups if np.linalg.norm(np.mean([e[2] for e in g], axis=0) - entry[2]) < SAME_NODULE_MM)
        group = next(near, None)
        if group is None:
            groups.append([entry])
        else:
            group.append(entry)
    lesions = (_lesion(group) for group in groups)
    return tuple(n for n in lesions if n.readers >= MIN_READERS and n.diameter_mm >= MIN_DIAMETER_MM)


def _lesion(entries: list[tuple[int, float, Floats, Floats]]) -> Lesion:
    return Lesion(
        position_mm=np.mean([e[2] for e in entries], axis=0),
        diameter_mm=float(np.median([e[1] for e in entries])),
        readers=len({e[0] for e in entries}),
        sections=np.concatenate([e[3] for e in entries]),
    )


def _area_mm2(points: Floats, spacing_mm: tuple[float, float]) -> float:
    """Area of a closed contour of (column, row) points (shoelace formula)."""
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 * spacing_mm[0] * spacing_mm[1])
