"""A candidate of a series, read by the classifier on every slice on which it shows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import extract_patch
from app.imaging.quality import is_like_blood
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import VolumeCandidate
from app.inference.decision import RANK, errors_of, suspicion_of
from app.inference.detector import Detector
from app.inference.findings import Place, check_place, finding_on, is_listed, looked_at
from app.inference.model import Model
from app.inference.patch_outputs import Outline, PatchOutputs, run_patches, traits_of
from app.inference.prediction import Finding, SliceOutline, SliceRef
from app.inference.suspicion import SecondLook

MIN_REACH_MM: Final = 3.0  # beyond the candidate's own size: a blob filter underestimates what is not round
MIN_SECTION_MM: Final = 1.0  # neighbouring sections closer than this say the same
MIN_IN_DISTRIBUTION: Final = 0.5  # of a nodule's sections by area; with less the rest does not carry it
LOGIT_BOUND: Final = 1e-6  # a probability of exactly 0 or 1 would outweigh every other section


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """One candidate on the slices around it: `indices` of the slices cut, and what the network says of each."""

    candidate: VolumeCandidate
    indices: tuple[int, ...]
    judged: PatchOutputs
    outlines: tuple[Outline | None, ...]

    def shows(self, n: int) -> bool:
        """Whether the nodule is seen on the n-th section."""
        return self.outlines[n] is not None and not self.judged.no_nodule[n]

    def outlines_on(self, numbers: Iterable[int]) -> tuple[SliceOutline, ...]:
        """The outlines of these sections, where there are any."""
        drawn = [(self.indices[n], self.outlines[n]) for n in numbers]
        return tuple(SliceOutline(index, outline.points_px) for index, outline in drawn if outline is not None)

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


@dataclass(frozen=True, slots=True, eq=False)
class _Sections:
    """The `numbers` of the sections that are one nodule, how much each counts, and whether they suffice to judge it.

    `weights` are shares of the nodule's area; sections unlike the training data have none.
    """

    numbers: NDArray[np.intp]
    areas: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, followed: _Followed) -> _Sections:
        """Those of a candidate: the nearest where the nodule shows on none."""
        run = followed.run()
        nearest = int(np.argmin(np.abs(np.array(followed.indices) - followed.candidate.slice_position)))
        numbers = np.array(run if run else [nearest])
        outlines = [followed.outlines[n] for n in numbers]
        areas = np.array([outline.area_mm2 if outline and run else 1.0 for outline in outlines])
        return cls(numbers, areas, areas * ~followed.judged.strange[numbers] / areas.sum())

    @property
    def suffice(self) -> bool:
        """Whether enough of it is like the training data."""
        return bool(self.weights.sum() >= MIN_IN_DISTRIBUTION)

    @property
    def main(self) -> int:
        """The section on which it is largest, of those that count where any does."""
        return int(self.numbers[(self.weights if self.suffice else self.areas).argmax()])


@dataclass(frozen=True, slots=True, eq=False)
class SectionReader:
    """Reads candidates of one series with the classifier, on their axial sections."""

    volume: CTVolume
    model: Model
    detector: Detector
    second_look: SecondLook

    def read(self, candidate: VolumeCandidate, filtered: float, score: float) -> Finding | None:
        """The candidate as a finding, None where nobody who points at it on its slice would be told of one.

        `filtered` is the filter's sum over three planes, `score` that of the second look. Probability and traits are
        the mean over its sections, of logits and ratings, weighted by area: a nodule grows and fades from slice to
        slice, the network learned from the slice where it is largest, and the last sliver of it says little. Sections
        unlike the training data do not count; where they are most of it, it is not judged.
        """
        followed = _follow(self.volume, candidate, self.model)
        sections = _Sections.of(followed)
        on_slice = self._on_slice(followed, sections.main)
        if on_slice is None:
            return None
        found = self._described(followed, sections, filtered)
        point = self.second_look.manifest.series_point
        # What would be called normal where it is largest is called normal to who points at it.
        spoken = [suspicion_of(score, each, point, self.model) for each in (found, on_slice)]
        if on_slice.suspicion == "low" and on_slice.probability is not None:
            spoken.append("open")
        return replace(found, suspicion_score=score, suspicion=min(spoken, key=RANK.__getitem__))

    def _on_slice(self, followed: _Followed, main: int) -> Finding | None:
        """What is said to who points at it on its main section; None where that would be rejected."""
        judged, candidate = followed.judged, followed.candidate
        ct_slice = self.volume.slice_at(followed.indices[main])
        notes = check_place(ct_slice, judged.patches[main])
        if errors_of(notes):
            return None
        strange = bool(judged.strange[main])
        found = finding_on(main, ct_slice, judged, self.model, judgeable=not strange)
        if not (strange or judged.no_nodule[main] or is_like_blood(notes)):
            return found
        place = Place(candidate.centre_px, candidate.zoom)
        found = looked_at(
            found,
            ct_slice=ct_slice,
            place=place,
            model=self.model,
            detector=self.detector,
            second_look=self.second_look,
        )
        return found if found.suspicion is not None and is_listed(found, self.model) else None

    def _described(self, followed: _Followed, sections: _Sections, filtered: float) -> Finding:
        judged, outputs, numbers = followed.judged, followed.judged.outputs, sections.numbers
        main, judgeable = sections.main, sections.suffice
        outline = followed.outlines[main] if judgeable else None
        centre, index = followed.candidate.centre_px, followed.indices[main]
        probability = _mean_probability(outputs["malignancy"][numbers], sections.weights) if judgeable else None
        rated = np.average(outputs["traits"][numbers], 0, sections.weights) if judgeable else None
        first, last = followed.indices[numbers[0]], followed.indices[numbers[-1]]
        return Finding(
            id=1,
            center_px=centre,
            center_mm=self.volume.to_patient_mm(index, centre),
            nodule_probability=_mean_probability(outputs["nodule"][numbers], sections.areas),
            probability=probability,
            diameter_mm=outline.diameter_mm if outline else None,
            soft_diameter_mm=float(judged.soft_diameters_mm[main]),
            traits=() if rated is None else traits_of(rated, self.model),
            outline_px=outline.points_px if outline else np.empty((0, 2)),
            evidence=judged.evidence(main),
            detector_score=filtered,
            slice=self._ref(index),
            slices=tuple(self._ref(n) for n in range(first, last + 1)),
            outlines=followed.outlines_on(numbers.tolist()) if judgeable else (),
        )

    def _ref(self, index: int) -> SliceRef:
        return SliceRef(index, self.volume.sources[index].sop_instance_uid)


def outlines_of(volume: CTVolume, candidate: VolumeCandidate, model: Model) -> tuple[SliceOutline, ...]:
    """A candidate's outlines on the sections on which it shows: those of its finding."""
    followed = _follow(volume, candidate, model)
    return followed.outlines_on(followed.run())


def _follow(volume: CTVolume, candidate: VolumeCandidate, model: Model) -> _Followed:
    """The candidate's axial patch on every slice it may reach, through the network at once."""
    between_mm = volume.spacing_mm[0]
    step = max(1, round(MIN_SECTION_MM / between_mm))
    reach = math.ceil((candidate.diameter_mm + MIN_REACH_MM) / between_mm / step) * step
    middle, spec = candidate.slice_index, model.patch_spec.zoomed(candidate.zoom)
    indices = tuple(n for n in range(middle - reach, middle + reach + 1, step) if 0 <= n < len(volume))
    judged = run_patches([extract_patch(volume.slice_at(n), candidate.centre_px, spec) for n in indices], model)
    return _Followed(candidate, indices, judged, tuple(judged.outline(n) for n in range(len(indices))))


def _mean_probability(probabilities: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Weighted mean of logits, as a probability."""
    p = np.clip(probabilities.astype(np.float64), LOGIT_BOUND, 1 - LOGIT_BOUND)
    return float(1 / (1 + np.exp(-np.average(np.log(p / (1 - p)), weights=weights))))
