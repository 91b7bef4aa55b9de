"""The use case: one CT series to one `Prediction`, each nodule followed through the slices on which it shows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np

from app.imaging.ct import PointMm, PointPx
from app.imaging.emphysema import share_below_950
from app.imaging.lung_frame import lung_frame
from app.imaging.planes import PLANES
from app.imaging.quality import check_volume, check_volume_lungs
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import VolumeCandidate, find_volume_candidates
from app.imaging.volume_lungs import VolumeLungs, segment_volume
from app.inference.decision import conclude_scan, errors_of, predict, reject
from app.inference.detector import Detector
from app.inference.findings import distinct
from app.inference.model import Model
from app.inference.prediction import Finding, KeySlice, Prediction, Series, SliceRef, Timing
from app.inference.scan_notes import scan_notes
from app.inference.sections import SectionReader
from app.inference.suspicion import SecondLook

Progress = Callable[[str, int, int], None]
Told = Callable[[int, int], None]
STAGES: Final = ("lungs", "candidates", "detect", "look", "judge")
CUT: Final = "partial_lung"  # the remark on lungs that the scan does not hold whole
LOOKED_AT_ONCE: Final = 21  # three planes each: a batch of the second look


class Cancelled(Exception):
    """Nobody waits for the answer any more. Ends the work from within; it never reaches a caller's screen."""


@dataclass(slots=True)
class Watch:
    """Tells how far the work is, stops it when nobody waits, and keeps what each stage took in milliseconds."""

    progress: Progress
    cancelled: Callable[[], bool]
    stages_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time one stage; yields what is to be called with (done, of) after every batch. That raises Cancelled."""
        started = time.perf_counter()

        def tell(done: int, of: int) -> None:
            if self.cancelled():
                raise Cancelled
            self.progress(name, done, of)

        yield tell
        self.stages_ms[name] = (time.perf_counter() - started) * 1000


def diagnose_volume(
    volume: CTVolume,
    model: Model,
    detector: Detector,
    second_look: SecondLook,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> Prediction:
    """Find the nodules of a series and judge each over the slices on which it shows.

    `progress(stage, done, of)` is called after every batch of one of STAGES; `cancelled` is asked as often, and
    raises Cancelled from here when it says so. What cannot be judged is `rejected` with its reasons.
    """
    watch = Watch(progress, cancelled)
    with watch.stage("lungs") as tell:
        lungs = segment_volume(volume, progress=lambda done: tell(done, len(volume)))
    point = second_look.manifest.series_point
    notes = (*check_volume(volume), *check_volume_lungs(lungs), *scan_notes(point, second_look, model))
    errors = errors_of(notes)
    reader = SectionReader(volume, model, detector, second_look)
    frame = lung_frame(volume, lungs, whole=CUT not in {note.code for note in notes})
    found = [] if errors else _search(lungs, reader, watch)
    findings = [replace(f, location=frame.locate(f.center_mm, f.slice.index if f.slice else None)) for f in found]
    first = volume.sources[0]
    return predict(
        reject(errors) if errors else conclude_scan(findings, notes),
        findings,
        model,
        point=point,
        quality=notes,
        source=replace(first, frame=None, sop_instance_uid=None),
        spacing_mm=volume.spacing_mm[1:],
        timing=_timing(watch.stages_ms),
        series=Series(
            slices=len(volume),
            slice_spacing_mm=volume.spacing_mm[0],
            series_instance_uid=first.series_instance_uid,
            study_instance_uid=first.study_instance_uid,
            key_slices=_key_slices(findings),
            lungs_ml=lungs.volume_ml if lungs.any() else None,
            below_950_share=share_below_950(volume, lungs),
        ),
    )


def _search(lungs: VolumeLungs, reader: SectionReader, watch: Watch) -> list[Finding]:
    """What filter and second look list, each read over its sections; one finding a nodule, numbered."""
    volume, detector = reader.volume, reader.detector
    with watch.stage("candidates") as tell:
        candidates = find_volume_candidates(volume, lungs, progress=lambda done: tell(done, len(volume)))
    with watch.stage("detect") as tell:
        sums = detector.score_volume(volume, candidates, tell)
    passed = [(c, float(s)) for c, s in zip(candidates, sums, strict=True) if s >= detector.series_threshold]
    with watch.stage("look") as tell:
        scores = second_scores(volume, passed, reader.second_look, tell)
    listed_from = reader.second_look.manifest.series_point.listed_from
    listed = [(c, filtered, s) for (c, filtered), s in zip(passed, scores, strict=True) if s >= listed_from]
    found = []
    with watch.stage("judge") as tell:
        for done, place in enumerate(listed, start=1):
            found.append(reader.read(*place))
            tell(done, len(listed))
    findings = [finding for finding in found if finding is not None]
    return distinct(findings, reader.model, partial(_apart_mm, volume))


def second_scores(
    volume: CTVolume,
    passed: Sequence[tuple[VolumeCandidate, float]],
    second_look: SecondLook,
    tell: Told = lambda _done, _of: None,
) -> list[float]:
    """What the second look gives candidates, each with the filter's sum over three planes; `tell` is called with how
    many are done and of how many, after every batch."""
    scores: list[float] = []
    for first in range(0, len(passed), LOOKED_AT_ONCE):
        part = passed[first : first + LOOKED_AT_ONCE]
        places = [((*c.centre_px, c.slice_position), c.zoom) for c, _ in part]
        filtered = np.array([total / len(PLANES) for _, total in part], np.float32)
        scores += second_look.score_volume(volume, places, filtered).tolist()
        tell(len(scores), len(passed))
    return scores


def _key_slices(findings: Sequence[Finding]) -> tuple[KeySlice, ...]:
    """The slices on which the findings are largest, in the findings' order."""
    on: dict[SliceRef, list[int]] = {}
    for finding in findings:
        if finding.slice is not None:
            on.setdefault(finding.slice, []).append(finding.id)
    return tuple(KeySlice(ref, tuple(ids)) for ref, ids in on.items())


def _apart_mm(volume: CTVolume, one: Finding, other: Finding) -> float:
    return math.dist(_place_mm(volume, one), _place_mm(volume, other))


def _place_mm(volume: CTVolume, finding: Finding) -> PointMm:
    """Distances in a volume, whatever its orientation."""
    point: PointPx = finding.center_px
    index = finding.slice.index if finding.slice else 0
    return index * volume.spacing_mm[0], point[1] * volume.spacing_mm[1], point[0] * volume.spacing_mm[2]


def _timing(stages_ms: dict[str, float]) -> Timing:
    judged = stages_ms.get("judge", 0.0)
    return Timing(search_ms=sum(stages_ms.values()) - judged, infer_ms=judged, stages_ms=stages_ms)
