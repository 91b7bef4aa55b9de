"""The use case of a place on a slice that somebody points at."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from app.errors import RoiOutsideImage
from app.imaging.blood_pool import blood_pools_hu
from app.imaging.candidates import LARGE_ZOOM, large_candidate_at
from app.imaging.ct import CTSlice, PointPx, QualityNote
from app.imaging.lung_frame import locate_on_slice
from app.imaging.lung_survey import LungSurvey, survey_lungs
from app.imaging.lungs import segment_lungs
from app.imaging.patches import Patch, extract_patch
from app.imaging.quality import (
    check_roi,
    check_roi_place,
    check_slice,
    check_view,
    is_filled,
    is_like_blood,
    is_soft,
)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What the classifier sees at a place, remarks about that, and why it would rather not judge."""

    place: Place
    patch: Patch
    judged: PatchOutputs
    notes: tuple[QualityNote, ...]
    doubts: tuple[str, ...]

    def finding(self, ct_slice: CTSlice, model: Model, *, rejected: bool = False) -> Finding:
        """It as a finding; not described where it is `rejected`, or unlike the training data."""
        judgeable = not (rejected or OUT_OF_DISTRIBUTION in self.doubts)
        return finding_on(0, ct_slice, self.judged, model, judgeable=judgeable)


def diagnose_roi(
    ct_slice: CTSlice, roi_px: PointPx, model: Model, detector: Detector, second_look: SecondLook
) -> Prediction:
    """Judge the nodule at `roi_px` (column, row) with the classifier, or the mass in which it lies from its middle.

    Where that sees no nodule, or nothing like its training data, and where the place is as dense as blood, `detector`
    and `second_look` are asked: what a search of the slice would list is judged by the search's rules, the rest is
    rejected. Raises RoiOutsideImage.
    """
    _require_inside(ct_slice, roi_px)
    started = time.perf_counter()
    survey = survey_lungs(ct_slice)
    slice_notes = (*check_slice(ct_slice), *check_view(ct_slice, survey))
    searched = time.perf_counter()
    seen = _seen(ct_slice, survey, Place(roi_px), model)
    look = partial(looked_at, ct_slice=ct_slice, model=model, detector=detector, second_look=second_look)
    unfit = errors_of(slice_notes)
    finding = seen.finding(ct_slice, model)
    if seen.doubts and not (unfit or errors_of(seen.notes)):
        finding = look(finding, place=seen.place)
    doubtful = bool(seen.doubts) and finding.suspicion is None
    if not unfit and is_soft(seen.patch) and (doubtful or is_filled(seen.patch)):
        for mass in _masses(ct_slice, survey, seen, model):
            found = look(mass.finding(ct_slice, model), place=mass.place)
            if found.suspicion is not None:
                seen, finding = mass, found if mass.doubts else mass.finding(ct_slice, model)
                break
    notes = (*slice_notes, *seen.notes)
    verdict = _verdict(finding, seen, unfit, notes, model)
    if verdict.decision == "rejected":
        finding = replace(seen.finding(ct_slice, model, rejected=True), suspicion_score=finding.suspicion_score)
    location = locate_on_slice(ct_slice, survey.unclosed, finding.center_px)
    return predict(
        verdict,
        [replace(finding, location=location)],
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


def _seen(ct_slice: CTSlice, survey: LungSurvey, place: Place, model: Model) -> _Seen:
    patch = extract_patch(ct_slice, place.centre_px, model.patch_spec.zoomed(place.zoom))
    blood_hu = partial(blood_pools_hu, ct_slice, survey, place.centre_px)
    notes = (*check_roi(patch, blood_hu), *check_roi_place(ct_slice, survey, place.centre_px))
    judged = run_patches([patch], model)
    doubts = [NOT_A_NODULE] if judged.no_nodule[0] or errors_of(notes) or is_like_blood(notes) else []
    if judged.strange[0]:
        doubts.append(OUT_OF_DISTRIBUTION)
    return _Seen(place, patch, judged, notes, tuple(doubts))


def _masses(ct_slice: CTSlice, survey: LungSurvey, seen: _Seen, model: Model) -> Iterator[_Seen]:
    """The mass in which a roi lies, seen from its middle, so that it does not matter where in it the roi is; then the
    roi as the middle of one, which a search may have found among smaller candidates only."""
    roi_px = seen.place.centre_px
    mass = large_candidate_at(ct_slice, segment_lungs(ct_slice), roi_px)
    if mass is not None:
        yield _as_mass(ct_slice, survey, Place(mass.centre_px, mass.zoom), model)
    if not errors_of(seen.notes):
        yield _as_mass(ct_slice, survey, Place(roi_px, LARGE_ZOOM), model)


def _as_mass(ct_slice: CTSlice, survey: LungSurvey, place: Place, model: Model) -> _Seen:
    seen = _seen(ct_slice, survey, place, model)
    column, row = place.centre_px
    message = f"The roi lies in a mass, which was judged from its middle at {column:.0f},{row:.0f} with larger pixels."
    return replace(seen, notes=(QualityNote("roi_in_mass", "info", message), *seen.notes))


def _verdict(
    finding: Finding, seen: _Seen, unfit: Sequence[str], notes: Sequence[QualityNote], model: Model
) -> Verdict:
    if finding.suspicion is not None and is_listed(finding, model):
        return conclude_scan([finding], notes)
    reasons = [*unfit, *errors_of(seen.notes), *seen.doubts]
    if reasons or finding.probability is None:
        return reject(reasons)
    return conclude_nodule(finding.probability, finding.soft_diameter_mm, notes, model)
