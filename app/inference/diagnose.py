"""The use case: one CT slice, with or without a region of interest, to one `Prediction`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from app.imaging.candidates import Candidate, find_candidates
from app.imaging.ct import CTSlice, PointPx
from app.imaging.lung_frame import locate_on_slice
from app.imaging.lungs import segment_lungs
from app.imaging.patches import extract_patch
from app.imaging.quality import check_lungs, check_slice
from app.inference.decision import conclude_scan, errors_of, predict, reject, suspicion_of
from app.inference.detector import Detector
from app.inference.findings import check_place, distinct, finding_on
from app.inference.model import Model
from app.inference.patch_outputs import run_patches
from app.inference.pointed import diagnose_roi
from app.inference.prediction import Finding, Prediction, timing_of
from app.inference.scan_notes import scan_notes
from app.inference.suspicion import SecondLook

Scored = tuple[Candidate, float, float]  # with the filter's logit and the second look's score


def diagnose(
    ct_slice: CTSlice, roi_px: PointPx | None, model: Model, detector: Detector, second_look: SecondLook
) -> Prediction:
    """Judge the nodule at `roi_px` (column, row), or every one that a search of the lungs finds when it is None.

    `detector` and `second_look` search, `model` describes what they find. Raises RoiOutsideImage. What cannot be
    judged is `rejected` with its reasons, never an error.
    """
    if roi_px is None:
        return _diagnose_slice(ct_slice, model, detector, second_look)
    return diagnose_roi(ct_slice, roi_px, model, detector, second_look)


def _diagnose_slice(ct_slice: CTSlice, model: Model, detector: Detector, second_look: SecondLook) -> Prediction:
    started = time.perf_counter()
    point = second_look.manifest.slice_point
    lungs = segment_lungs(ct_slice)
    notes = (*check_slice(ct_slice), *check_lungs(ct_slice, lungs), *scan_notes(point, second_look, model))
    errors = errors_of(notes)
    listed = [] if errors else _listed(ct_slice, find_candidates(ct_slice, lungs), detector, second_look)
    searched = time.perf_counter()
    found = _findings(ct_slice, listed, model, second_look)
    findings = [replace(f, location=locate_on_slice(ct_slice, lungs, f.center_px)) for f in found]
    return predict(
        reject(errors) if errors else conclude_scan(findings, notes),
        findings,
        model,
        point=point,
        quality=notes,
        source=ct_slice.source,
        spacing_mm=ct_slice.spacing_mm,
        timing=timing_of(started, searched),
    )


def _listed(
    ct_slice: CTSlice, candidates: Sequence[Candidate], detector: Detector, second_look: SecondLook
) -> list[Scored]:
    """Those that the filter lets pass and the second look lists."""
    passed = detector.passed(ct_slice, candidates)
    filtered = np.array([logit for _, logit in passed], np.float32)
    scores = second_look.score_slice(ct_slice, [(c.centre_px, c.zoom) for c, _ in passed], filtered).tolist()
    point = second_look.manifest.slice_point
    return [(c, logit, s) for (c, logit), s in zip(passed, scores, strict=True) if s >= point.listed_from]


def _findings(ct_slice: CTSlice, listed: Sequence[Scored], model: Model, second_look: SecondLook) -> list[Finding]:
    """What the classifier says about them, one finding a nodule, numbered; without places that are no nodule's."""
    patches = [extract_patch(ct_slice, c.centre_px, model.patch_spec.zoomed(c.zoom)) for c, _, _ in listed]
    fit = [n for n, patch in enumerate(patches) if not errors_of(check_place(ct_slice, patch))]
    if not fit:
        return []
    judged = run_patches([patches[n] for n in fit], model)
    findings = []
    for k, n in enumerate(fit):
        _, filtered, score = listed[n]
        found = finding_on(k, ct_slice, judged, model, judgeable=not judged.strange[k])
        suspicion = suspicion_of(score, found, second_look.manifest.slice_point, model)
        findings.append(replace(found, detector_score=filtered, suspicion_score=score, suspicion=suspicion))
    return distinct(findings, model, partial(_apart_mm, ct_slice))


def _apart_mm(ct_slice: CTSlice, one: Finding, other: Finding) -> float:
    rows_mm, columns_mm = ct_slice.spacing_mm
    columns, rows = (a - b for a, b in zip(one.center_px, other.center_px, strict=True))
    return math.hypot(columns * columns_mm, rows * rows_mm)
