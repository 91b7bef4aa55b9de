"""Findings of a slice and of a series: how a judged patch becomes one, and which of several are one nodule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from app.imaging.blood_pool import blood_pools_hu
from app.imaging.ct import CTSlice, PointPx, QualityNote
from app.imaging.lung_survey import survey_lungs
from app.imaging.patches import Patch
from app.imaging.quality import check_roi
from app.inference.decision import is_dismissed, suspicion_of, weight
from app.inference.detector import MIN_SEPARATION_MM, Detector
from app.inference.model import Model
from app.inference.patch_outputs import PatchOutputs, traits_of
from app.inference.prediction import Finding
from app.inference.size import rim_mm_of, size_of
from app.inference.suspicion import SecondLook


@dataclass(frozen=True, slots=True)
class Place:
    """Where on a slice is judged, (column, row), and with how many times as large pixels."""

    centre_px: PointPx
    zoom: float = 1.0


def finding_on(n: int, ct_slice: CTSlice, judged: PatchOutputs, model: Model, *, judgeable: bool) -> Finding:
    """The n-th patch as a finding; what was not judged gets neither probability nor description."""
    outputs, centre = judged.outputs, judged.patches[n].transform.centre_px
    outline, patch = judged.outline(n) if judgeable else None, judged.patches[n]
    traits = traits_of(outputs["traits"][n], model) if judgeable else ()
    return Finding(
        id=n + 1,
        center_px=centre,
        center_mm=ct_slice.to_patient_mm(centre),
        nodule_probability=float(outputs["nodule"][n]),
        probability=float(outputs["malignancy"][n]) if judgeable else None,
        diameter_mm=outline.diameter_mm if outline else None,
        soft_diameter_mm=float(judged.soft_diameters_mm[n]),
        traits=traits,
        outline_px=outline.points_px if outline else np.empty((0, 2)),
        evidence=judged.evidence(n),
        size=size_of(outline, patch, traits, rim_mm_of(patch, model)) if outline else None,
    )


def is_listed(finding: Finding, model: Model) -> bool:
    """Whether a finding with a score is shown: not if it counts for nothing and the classifier sees no nodule."""
    return finding.suspicion != "low" or not is_dismissed(finding, model)


def check_place(ct_slice: CTSlice, patch: Patch) -> tuple[QualityNote, ...]:
    """What `check_roi` says to who points at the middle of a patch."""

    def blood_hu() -> tuple[float, ...]:
        return blood_pools_hu(ct_slice, survey_lungs(ct_slice), patch.transform.centre_px)

    return check_roi(patch, blood_hu)


def looked_at(
    finding: Finding, *, ct_slice: CTSlice, place: Place, model: Model, detector: Detector, second_look: SecondLook
) -> Finding:
    """The finding with the score of its place, if the filter lets it pass, and with what it counts for, if a search of
    the slice would list it."""
    filtered = detector.score_slice(ct_slice, [place])
    if filtered[0] < detector.passes_from:
        return finding
    score = float(second_look.score_slice(ct_slice, [(place.centre_px, place.zoom)], filtered)[0])
    point = second_look.manifest.slice_point
    suspicion = suspicion_of(score, finding, point, model) if score >= point.listed_from else None
    return replace(finding, suspicion_score=score, suspicion=suspicion)


def distinct(findings: Sequence[Finding], model: Model, apart_mm: Callable[[Finding, Finding], float]) -> list[Finding]:
    """The findings that are shown, numbered from 1, those that weigh most in the decision first.

    Of several findings on one nodule the one that weighs most stays.
    """
    kept: list[Finding] = []
    for finding in sorted(findings, key=weight, reverse=True):
        alone = not any(_same_nodule(finding, other, apart_mm(finding, other)) for other in kept)
        if alone and is_listed(finding, model):
            kept.append(finding)
    return [replace(finding, id=number) for number, finding in enumerate(kept, start=1)]


def _same_nodule(one: Finding, other: Finding, apart_mm: float) -> bool:
    """Whether two findings are one nodule: they touch, or the centre of one lies in the other."""
    return apart_mm <= MIN_SEPARATION_MM or _lies_in(one, other) or _lies_in(other, one)


def _lies_in(one: Finding, other: Finding) -> bool:
    if not len(other.outline_px) or (one.slice is not None and one.slice not in other.slices):
        return False
    return cv2.pointPolygonTest(other.outline_px.astype(np.float32), one.center_px, measureDist=False) >= 0
