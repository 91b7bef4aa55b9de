"""The use case: one CT slice, with or without a region of interest, to one `Prediction`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import cv2
import numpy as np

from app.errors import RoiOutsideImage
from app.imaging.candidates import Candidate, find_candidates
from app.imaging.ct import CTSlice, PointPx, QualityNote
from app.imaging.lung_survey import survey_lungs
from app.imaging.lungs import segment_lungs
from app.imaging.patches import extract_patch
from app.imaging.quality import check_lungs, check_roi, check_roi_place, check_slice, check_view
from app.inference.decision import OUT_OF_DISTRIBUTION, predict
from app.inference.detector import MIN_SEPARATION_MM, Detector, ScoreThreshold
from app.inference.model import Model
from app.inference.patch_outputs import PatchOutputs, run_patches, traits_of
from app.inference.prediction import Finding, Prediction, Timing

NOT_A_NODULE: Final = "not_a_nodule"
SLICE_LEVEL: Final = QualityNote(
    "study_level_not_validated",
    "warning",
    "The decision for a whole slice or series is the noisy-or of its findings and has not been validated.",
)


def diagnose(ct_slice: CTSlice, roi_px: PointPx | None, model: Model, detector: Detector) -> Prediction:
    """Judge the nodule at `roi_px` (column, row), or every one that `detector` finds in the lungs when it is None.

    Raises RoiOutsideImage. What cannot be judged is `rejected` with its reasons, never an error.
    """
    if roi_px is None:
        return _diagnose_slice(ct_slice, model, detector)
    return _diagnose_roi(ct_slice, roi_px, model)


def search_note(threshold: ScoreThreshold) -> QualityNote:
    """How well the search that found the findings did where it was measured."""
    found, false = threshold.sensitivity.value, threshold.false_positives.value
    message = f"The search found {found:.0%} of the nodules it was measured on, at {false:.2g} false finding(s) a "
    return QualityNote("nodules_may_be_missed", "warning", f"{message}{threshold.per}.")


def errors_of(notes: Sequence[QualityNote]) -> tuple[str, ...]:
    """The codes for which nothing may be judged."""
    return tuple(note.code for note in notes if note.severity == "error")


def _diagnose_roi(ct_slice: CTSlice, roi_px: PointPx, model: Model) -> Prediction:
    if not ct_slice.contains(roi_px):
        rows, columns = ct_slice.hu.shape
        raise RoiOutsideImage(
            found=f"roi {roi_px[0]:g},{roi_px[1]:g}",
            expected=f"column 0 to {columns - 1}, row 0 to {rows - 1}",
            remedy="Give roi as column,row in pixels of the sent image, 0 at the centre of the first pixel.",
        )
    started = time.perf_counter()
    survey = survey_lungs(ct_slice)
    patch = extract_patch(ct_slice, roi_px, model.patch_spec)
    slice_notes = (*check_slice(ct_slice), *check_view(ct_slice, survey))
    roi_notes = (*check_roi(patch), *check_roi_place(ct_slice, survey, roi_px))
    searched = time.perf_counter()
    judged = run_patches([patch], model)
    reasons = [*errors_of(slice_notes), *errors_of(roi_notes)]
    if errors_of(roi_notes) or judged.no_nodule[0]:
        reasons.append(NOT_A_NODULE)
    if judged.strange[0]:
        reasons.append(OUT_OF_DISTRIBUTION)
    finding = _finding(0, ct_slice, judged, model, judgeable=not reasons)
    timing = _timing(started, searched)
    return _prediction(ct_slice, model, [finding], reasons, (*slice_notes, *roi_notes), timing)


def _diagnose_slice(ct_slice: CTSlice, model: Model, detector: Detector) -> Prediction:
    started = time.perf_counter()
    lungs = segment_lungs(ct_slice)
    search = search_note(detector.manifest.slice_threshold)
    notes = (*check_slice(ct_slice), *check_lungs(ct_slice, lungs), search, SLICE_LEVEL)
    if reasons := errors_of(notes):
        return _prediction(ct_slice, model, [], reasons, notes, _timing(started, time.perf_counter()))
    passed = detector.passed(ct_slice, find_candidates(ct_slice, lungs))
    searched = time.perf_counter()
    findings = _findings(ct_slice, passed, model, detector)
    return _prediction(ct_slice, model, findings, (), notes, _timing(started, searched))


def _findings(
    ct_slice: CTSlice, passed: Sequence[tuple[Candidate, float]], model: Model, detector: Detector
) -> list[Finding]:
    """What the network says about candidates with their scores, one finding a nodule, numbered."""
    if not passed:
        return []
    judged = run_patches(
        [extract_patch(ct_slice, candidate.centre_px, model.patch_spec) for candidate, _ in passed], model
    )
    scores, shown = detector.shown(np.array([score for _, score in passed], np.float32), judged.outputs["nodule"])
    findings = [
        replace(_finding(n, ct_slice, judged, model, judgeable=not judged.strange[n]), detector_score=float(scores[n]))
        for n in np.flatnonzero(shown).tolist()
    ]
    return distinct(findings, model, partial(_apart_mm, ct_slice))


def _prediction(
    ct_slice: CTSlice,
    model: Model,
    findings: Sequence[Finding],
    reasons: Sequence[str],
    notes: Sequence[QualityNote],
    timing: Timing,
) -> Prediction:
    source, spacing_mm = ct_slice.source, ct_slice.spacing_mm
    return predict(findings, reasons, model, quality=notes, source=source, spacing_mm=spacing_mm, timing=timing)


def _finding(n: int, ct_slice: CTSlice, judged: PatchOutputs, model: Model, *, judgeable: bool) -> Finding:
    """The n-th patch as a finding; what was not judged gets neither probability nor description."""
    outputs, centre = judged.outputs, judged.patches[n].transform.centre_px
    outline = judged.outline(n) if judgeable else None
    return Finding(
        id=n + 1,
        center_px=centre,
        center_mm=ct_slice.to_patient_mm(centre),
        nodule_probability=float(outputs["nodule"][n]),
        probability=float(outputs["malignancy"][n]) if judgeable else None,
        diameter_mm=outline.diameter_mm if outline else None,
        traits=traits_of(outputs["traits"][n], model) if judgeable else (),
        outline_px=outline.points_px if outline else np.empty((0, 2)),
        evidence=judged.evidence(n),
    )


def distinct(findings: Sequence[Finding], model: Model, apart_mm: Callable[[Finding, Finding], float]) -> list[Finding]:
    """The nodules among what the search found, numbered from 1: the most probable first, those not judged last.

    Left out is what the network judged and does not take for a nodule, as with a roi. Of several findings on one
    nodule the one found best stays.
    """
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda f: -(f.detector_score or 0.0)):
        dismissed = finding.probability is not None and finding.nodule_probability < model.manifest.nodule_threshold
        if not dismissed and not any(_same_nodule(finding, other, apart_mm(finding, other)) for other in kept):
            kept.append(finding)
    kept.sort(key=lambda f: 1.0 if f.probability is None else -f.probability)
    return [replace(finding, id=number) for number, finding in enumerate(kept, start=1)]


def _same_nodule(one: Finding, other: Finding, apart_mm: float) -> bool:
    """Whether two findings are one nodule: they touch, or the centre of one lies in the other."""
    return apart_mm <= MIN_SEPARATION_MM or _lies_in(one, other) or _lies_in(other, one)


def _lies_in(one: Finding, other: Finding) -> bool:
    if not len(other.outline_px) or (one.slice is not None and one.slice not in other.slices):
        return False
    return cv2.pointPolygonTest(other.outline_px.astype(np.float32), one.center_px, measureDist=False) >= 0


def _apart_mm(ct_slice: CTSlice, one: Finding, other: Finding) -> float:
    rows_mm, columns_mm = ct_slice.spacing_mm
    columns, rows = (a - b for a, b in zip(one.center_px, other.center_px, strict=True))
    return math.hypot(columns * columns_mm, rows * rows_mm)


def _timing(started: float, searched: float) -> Timing:
    """From `time.perf_counter` at the start and at the end of the search, the network's end being now."""
    return Timing(search_ms=(searched - started) * 1000, infer_ms=(time.perf_counter() - searched) * 1000)
