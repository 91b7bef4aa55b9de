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
from numpy.typing import NDArray

from app.imaging.ct import PointMm, PointPx
from app.imaging.patches import Patch, extract_patch
from app.imaging.quality import check_volume_lungs
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import VolumeCandidate, find_volume_candidates
from app.imaging.volume_lungs import segment_volume
from app.inference.decision import predict
from app.inference.detector import Detector
from app.inference.diagnose import SLICE_LEVEL, distinct, errors_of, search_note
from app.inference.model import Model
from app.inference.patch_outputs import Outline, PatchOutputs, run_patches, traits_of
from app.inference.prediction import Finding, KeySlice, Prediction, Series, SliceRef, Timing

Progress = Callable[[str, int, int], None]
STAGES: Final = ("lungs", "candidates", "detect", "judge")
MIN_REACH_MM: Final = 3.0  # beyond the candidate's own size: a blob filter underestimates what is not round
MIN_SECTION_MM: Final = 1.0  # neighbouring sections closer than this say the same
MIN_IN_DISTRIBUTION: Final = 0.5  # of a nodule's sections by area; with less the rest does not carry it
LOGIT_BOUND: Final = 1e-6  # a probability of exactly 0 or 1 would outweigh every other section


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


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """One candidate on the slices around it: `indices` of the slices cut, and what the network says of each."""

    candidate: VolumeCandidate
    score: float
    indices: tuple[int, ...]
    judged: PatchOutputs
    outlines: tuple[Outline | None, ...]

    def shows(self, n: int) -> bool:
        """Whether the nodule is seen on the n-th section."""
        return self.outlines[n] is not None and not self.judged.no_nodule[n]

    def run(self) -> range:
        """The sections on which it shows without a break, around the one nearest to the candidate; may be empty."""
        near = sorted(range(len(self.indices)), key=lambda n: abs(self.indices[n] - self.candidate.slice_position))
        start = next((n for n in near if self.shows(n)), None)
        if start is None:
            return range(0)
        first, last = start, start
        while first > 0 and self.shows(first - 1):
            first -= 1
        while last + 1 < len(self.indices) and self.shows(last + 1):
            last += 1
        return range(first, last + 1)


def diagnose_volume(
    volume: CTVolume, model: Model, detector: Detector, progress: Progress, cancelled: Callable[[], bool]
) -> Prediction:
    """Find the nodules of a series and judge each over the slices on which it shows.

    `progress(stage, done, of)` is called after every batch of one of STAGES; `cancelled` is asked as often, and
    raises Cancelled from here when it says so. What cannot be judged is `rejected` with its reasons.
    """
    watch = Watch(progress, cancelled)
    with watch.stage("lungs") as tell:
        lungs = segment_volume(volume, progress=lambda done: tell(done, len(volume)))
    search = search_note(detector.manifest.series_threshold)
    notes = (*volume.notes, *check_volume_lungs(lungs), search, SLICE_LEVEL)
    reasons = errors_of(notes)
    findings: list[Finding] = []
    if not reasons:
        with watch.stage("candidates") as tell:
            candidates = find_volume_candidates(volume, lungs, progress=lambda done: tell(done, len(volume)))
        with watch.stage("detect") as tell:
            scores = detector.score_volume(volume, candidates, tell)
        nodules = [(c, float(s)) for c, s in zip(candidates, scores, strict=True) if s >= detector.series_threshold]
        with watch.stage("judge") as tell:
            findings = _findings(volume, nodules, model, tell)
    first = volume.sources[0]
    return predict(
        findings,
        reasons,
        model,
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
        ),
    )


def _findings(
    volume: CTVolume,
    nodules: Sequence[tuple[VolumeCandidate, float]],
    model: Model,
    tell: Callable[[int, int], None],
) -> list[Finding]:
    """One finding a nodule, numbered: see `distinct`."""
    findings = []
    for done, (candidate, score) in enumerate(nodules, start=1):
        findings.append(_finding(volume, _follow(volume, candidate, score, model), model))
        tell(done, len(nodules))
    return distinct(findings, model, partial(_apart_mm, volume))


def _follow(volume: CTVolume, candidate: VolumeCandidate, score: float, model: Model) -> _Followed:
    """The candidate's axial patch on every slice it may reach, through the network at once."""
    between_mm = volume.spacing_mm[0]
    step = max(1, round(MIN_SECTION_MM / between_mm))
    reach = math.ceil((candidate.diameter_mm + MIN_REACH_MM) / between_mm / step) * step
    middle = candidate.slice_index
    indices = tuple(n for n in range(middle - reach, middle + reach + 1, step) if 0 <= n < len(volume))
    patches: list[Patch] = [extract_patch(volume.slice_at(n), candidate.centre_px, model.patch_spec) for n in indices]
    judged = run_patches(patches, model)
    return _Followed(candidate, score, indices, judged, tuple(judged.outline(n) for n in range(len(patches))))


def _finding(volume: CTVolume, followed: _Followed, model: Model) -> Finding:
    """The sections of one nodule as one finding.

    Its probability and traits are the mean over its sections, of logits and ratings, weighted by area: a nodule grows
    and fades from slice to slice, the network learned from the slice where it is largest, and the last sliver of it
    says little. Sections unlike the training data do not count; where they are most of it, it is not judged.
    """
    run = followed.run()
    nearest = int(np.argmin(np.abs(np.array(followed.indices) - followed.candidate.slice_position)))
    sections = np.array(run if run else [nearest])
    outlines = [followed.outlines[n] for n in sections]
    areas = np.array([outline.area_mm2 if outline and run else 1.0 for outline in outlines])
    main = int(sections[areas.argmax()])
    judged, outputs = followed.judged, followed.judged.outputs
    weights = areas * ~judged.strange[sections] / areas.sum()
    judgeable = bool(weights.sum() >= MIN_IN_DISTRIBUTION)
    outline = followed.outlines[main] if judgeable else None
    centre = followed.candidate.centre_px
    index = followed.indices[main]
    return Finding(
        id=1,
        center_px=centre,
        center_mm=volume.to_patient_mm(index, centre),
        nodule_probability=_mean_probability(outputs["nodule"][sections], areas),
        probability=_mean_probability(outputs["malignancy"][sections], weights) if judgeable else None,
        diameter_mm=outline.diameter_mm if outline else None,
        traits=traits_of(np.average(outputs["traits"][sections], 0, weights), model) if judgeable else (),
        outline_px=outline.points_px if outline else np.empty((0, 2)),
        evidence=judged.evidence(main),
        detector_score=followed.score,
        slice=_ref(volume, index),
        slices=tuple(_ref(volume, n) for n in range(followed.indices[sections[0]], followed.indices[sections[-1]] + 1)),
    )


def _mean_probability(probabilities: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Weighted mean of logits, as a probability."""
    p = np.clip(probabilities.astype(np.float64), LOGIT_BOUND, 1 - LOGIT_BOUND)
    return float(1 / (1 + np.exp(-np.average(np.log(p / (1 - p)), weights=weights))))


def _ref(volume: CTVolume, index: int) -> SliceRef:
    return SliceRef(index, volume.sources[index].sop_instance_uid)


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
