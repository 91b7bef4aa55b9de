"""The use case of a place on a slice that somebody points at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from app.errors import RoiOutsideImage
from app.imaging.blood_pool import blood_pools_hu
from app.imaging.candidates import large_candidate_at
from app.imaging.ct import CTSlice, PointPx, QualityNote
from app.imaging.lung_survey import survey_lungs
from app.imaging.lungs import segment_lungs
from app.imaging.patches import Patch, extract_patch
from app.imaging.quality import check_roi, check_roi_place, check_slice, check_view, is_filled, is_like_blood
from app.inference.decision import (
    OUT_OF_DISTRIBUTION,
    Verdict,
    conclude_nodule,
    conclude_scan,
    errors_of,
    predict,
    reject,
)
from app.inference.detector import Detector
from app.inference.findings import Place, finding_on, is_listed, looked_at
from app.inference.model import Model
from app.inference.patch_outputs import PatchOutputs, run_patches
from app.inference.prediction import Finding, Prediction, timing_of
from app.inference.suspicion import SecondLook

NOT_A_NODULE: Final = "not_a_nodule"


def diagnose_roi(
    ct_slice: CTSlice, roi_px: PointPx, model: Model, detector: Detector, second_look: SecondLook
) -> Prediction:
    """Judge the nodule at `roi_px` (column, row) with the classifier.

    Where that sees no nodule, or nothing like its training data, and where the place is as dense as blood,
    `detector` and `second_look` are asked: what a search of the slice would list is judged by the search's rules, the
    rest is rejected. Raises RoiOutsideImage.
    """
    _require_inside(ct_slice, roi_px)
    started = time.perf_counter()
    survey = survey_lungs(ct_slice)
    place, patch = _seen(ct_slice, roi_px, model)
    slice_notes = (*check_slice(ct_slice), *check_view(ct_slice, survey))
    blood_hu = partial(blood_pools_hu, ct_slice, survey, place.centre_px)
    roi_notes = (*_moved(place), *check_roi(patch, blood_hu), *check_roi_place(ct_slice, survey, place.centre_px))
    searched = time.perf_counter()
    judged = run_patches([patch], model)
    notes = (*slice_notes, *roi_notes)
    unfit = [*errors_of(slice_notes), *errors_of(roi_notes)]
    doubts = _doubts(judged, on_a_nodule=not (errors_of(roi_notes) or is_like_blood(roi_notes)))
    finding = finding_on(0, ct_slice, judged, model, judgeable=OUT_OF_DISTRIBUTION not in doubts)
    if doubts and not unfit:
        finding = looked_at(finding, ct_slice, place, model, detector, second_look)
    verdict = _verdict(finding, unfit, doubts, notes, model)
    if verdict.decision == "rejected":
        plain = finding_on(0, ct_slice, judged, model, judgeable=False)
        finding = replace(plain, suspicion_score=finding.suspicion_score)
    return predict(
        verdict,
        [finding],
        model,
        point=None if finding.suspicion is None else second_look.manifest.slice_point,
        quality=notes,
        source=ct_slice.source,
        spacing_mm=ct_slice.spacing_mm,
        timing=timing_of(started, searched),
    )


def _require_inside(ct_slice: CTSlice, roi_px: PointPx) -> None:
    if not ct_slice.contains(roi_px):
        rows, columns = ct_slice.hu.shape
        raise RoiOutsideImage(
            found=f"roi {roi_px[0]:g},{roi_px[1]:g}",
            expected=f"column 0 to {columns - 1}, row 0 to {rows - 1}",
            remedy="Give roi as column,row in pixels of the sent image, 0 at the centre of the first pixel.",
        )


def _seen(ct_slice: CTSlice, roi_px: PointPx, model: Model) -> tuple[Place, Patch]:
    """What is judged: the roi itself, or the mass in which it lies, from the middle of that and at its zoom."""
    patch = extract_patch(ct_slice, roi_px, model.patch_spec)
    if is_filled(patch):
        mass = large_candidate_at(ct_slice, segment_lungs(ct_slice), roi_px)
        if mass is not None:
            return Place(mass.centre_px, mass.zoom), extract_patch(
                ct_slice, mass.centre_px, model.patch_spec.zoomed(mass.zoom)
            )
    return Place(roi_px), patch


def _moved(place: Place) -> tuple[QualityNote, ...]:
    if place.zoom == 1:
        return ()
    column, row = place.centre_px
    message = (
        f"The roi lies in a mass, which was judged from its middle at {column:.0f},{row:.0f} and seen from further."
    )
    return (QualityNote("roi_in_mass", "info", message),)


def _doubts(judged: PatchOutputs, *, on_a_nodule: bool) -> list[str]:
    """Why the classifier would rather not judge the one patch."""
    doubts = [NOT_A_NODULE] if judged.no_nodule[0] or not on_a_nodule else []
    return [*doubts, OUT_OF_DISTRIBUTION] if judged.strange[0] else doubts


def _verdict(
    finding: Finding, unfit: Sequence[str], doubts: Sequence[str], notes: Sequence[QualityNote], model: Model
) -> Verdict:
    if finding.suspicion is not None and is_listed(finding, model):
        return conclude_scan([finding], notes)
    if unfit or doubts or finding.probability is None:
        return reject([*unfit, *doubts])
    return conclude_nodule(finding.probability, notes, model)
