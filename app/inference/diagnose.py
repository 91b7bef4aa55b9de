"""The use case: one CT slice, with or without a region of interest, to one `Prediction`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import RoiOutsideImage
from app.imaging.candidates import find_candidates
from app.imaging.ct import CTSlice, PointPx, QualityNote
from app.imaging.lungs import segment_lungs
from app.imaging.patches import Patch, PatchTransform, extract_patch
from app.imaging.quality import check_lungs, check_roi, check_roi_place, check_slice, check_view
from app.inference.backends import Outputs
from app.inference.bundle import Finding as Label
from app.inference.bundle import Manifest
from app.inference.model import Model
from app.inference.prediction import Evidence, Finding, Prediction, Timing, Trait
from app.inference.vocabulary import Decision

NOT_A_NODULE: Final = "not_a_nodule"
OUT_OF_DISTRIBUTION: Final = "out_of_distribution"
SEARCH_NODULE_PROBABILITY: Final = 0.5  # nobody pointed there: it must be a nodule rather than not
MASK_THRESHOLD: Final = 0.5
MAX_CENTRE_OFFSET_MM: Final = 3.0  # an outline further from the patch's middle belongs to a neighbour
MIN_SEPARATION_MM: Final = 4.0  # two centres closer than the smallest nodule are one finding
BASIC_DETECTOR: Final = QualityNote(
    "basic_detector",
    "warning",
    "Candidates come from a plain blob filter that misses nodules and reports vessels; send roi where it is known.",
)
SLICE_LEVEL: Final = QualityNote(
    "study_level_not_validated",
    "warning",
    "The decision for a whole slice is the noisy-or of its findings and has not been validated.",
)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One patch after the network: its finding and the codes for which it was not judged."""

    finding: Finding
    reasons: tuple[str, ...]


def diagnose(ct_slice: CTSlice, roi_px: PointPx | None, model: Model) -> Prediction:
    """Judge the nodule at `roi_px` (column, row), or every candidate found in the lungs when it is None.

    Raises RoiOutsideImage. What cannot be judged is `rejected` with its reasons, never an error.
    """
    notes = check_slice(ct_slice)
    if roi_px is None:
        return _diagnose_slice(ct_slice, model, notes)
    return _diagnose_roi(ct_slice, roi_px, model, notes)


def decide(probability: float, manifest: Manifest) -> tuple[Decision, tuple[Label, ...]]:
    """Decision and conformal set: decided only where the set holds the one label that the operating point gives."""
    prediction_set = manifest.conformal.prediction_set(probability)
    side: Label = "cancer_suspected" if probability >= manifest.operating_point.threshold else "normal"
    return (side if prediction_set == (side,) else "indeterminate"), prediction_set


def _diagnose_roi(ct_slice: CTSlice, roi_px: PointPx, model: Model, notes: Sequence[QualityNote]) -> Prediction:
    if not ct_slice.contains(roi_px):
        rows, columns = ct_slice.hu.shape
        raise RoiOutsideImage(
            found=f"roi {roi_px[0]:g},{roi_px[1]:g}",
            expected=f"column 0 to {columns - 1}, row 0 to {rows - 1}",
            remedy="Give roi as column,row in pixels of the sent image, 0 at the centre of the first pixel.",
        )
    started = time.perf_counter()
    lungs = segment_lungs(ct_slice)
    patch = extract_patch(ct_slice, roi_px, model.patch_spec)
    slice_notes = (*notes, *check_view(ct_slice, lungs))
    roi_notes = (*check_roi(patch), *check_roi_place(ct_slice, lungs, roi_px))
    search_ms = _since(started)
    unfit, misplaced = _errors(slice_notes), _errors(roi_notes)
    (judged,), infer_ms = _judge(ct_slice, [patch], model, unfit=unfit, misplaced=misplaced)
    timing = Timing(search_ms=search_ms, infer_ms=infer_ms)
    return _conclude(ct_slice, model, [judged.finding], judged.reasons, (*slice_notes, *roi_notes), timing)


def _diagnose_slice(ct_slice: CTSlice, model: Model, notes: Sequence[QualityNote]) -> Prediction:
    started = time.perf_counter()
    lungs = segment_lungs(ct_slice)
    all_notes = (*notes, *check_lungs(ct_slice, lungs), BASIC_DETECTOR, SLICE_LEVEL)
    if reasons := _errors(all_notes):
        timing = Timing(search_ms=_since(started), infer_ms=0.0)
        return _conclude(ct_slice, model, [], reasons, all_notes, timing)
    candidates = find_candidates(ct_slice, lungs)
    patches = [extract_patch(ct_slice, candidate.centre_px, model.patch_spec) for candidate in candidates]
    search_ms = _since(started)
    judged, infer_ms = _judge(ct_slice, patches, model)
    nodules = [j.finding for j in judged if j.finding.nodule_probability >= SEARCH_NODULE_PROBABILITY]
    findings = _distinct(ct_slice, nodules)
    return _conclude(ct_slice, model, findings, (), all_notes, Timing(search_ms=search_ms, infer_ms=infer_ms))


def _conclude(
    ct_slice: CTSlice,
    model: Model,
    findings: Sequence[Finding],
    reasons: Sequence[str],
    notes: Sequence[QualityNote],
    timing: Timing,
) -> Prediction:
    """One decision from the findings: noisy-or of their probabilities; one that could not be judged bars `normal`."""
    decision: Decision = "rejected"
    probability: float | None = None
    prediction_set: tuple[Label, ...] = ()
    if not reasons:
        judged = [f.probability for f in findings if f.probability is not None]
        probability = 1 - math.prod(1 - p for p in judged)
        decision, prediction_set = decide(probability, model.manifest)
        if not findings:
            # Nothing to weigh: the conformal set speaks of nodules, not of their absence.
            decision, prediction_set = "normal", ("normal",)
        if len(judged) < len(findings) and decision == "normal":
            decision, reasons = "indeterminate", (OUT_OF_DISTRIBUTION,)
    return Prediction(
        decision=decision,
        probability=probability,
        operating_point=model.manifest.operating_point.threshold,
        prediction_set=prediction_set,
        findings=tuple(findings),
        reasons=tuple(dict.fromkeys(reasons)),
        quality=tuple(notes),
        source=ct_slice.source,
        spacing_mm=ct_slice.spacing_mm,
        timing=timing,
    )


def _judge(
    ct_slice: CTSlice,
    patches: list[Patch],
    model: Model,
    *,
    unfit: tuple[str, ...] = (),
    misplaced: tuple[str, ...] = (),
) -> tuple[list[_Judged], float]:
    """Run the network on all patches at once; what is wrong with slice or place was known before it ran."""
    if not patches:
        return [], 0.0
    started = time.perf_counter()
    outputs = model.run(patches)
    infer_ms = _since(started)
    strange = model.distance(outputs["embedding"]) > model.manifest.out_of_distribution.threshold
    no_nodule = outputs["nodule"] < model.manifest.nodule_threshold
    judged = []
    for n, patch in enumerate(patches):
        reasons = [*unfit, *misplaced]
        if misplaced or no_nodule[n]:
            reasons.append(NOT_A_NODULE)
        if strange[n]:
            reasons.append(OUT_OF_DISTRIBUTION)
        judged.append(_Judged(_finding(n, ct_slice, patch, outputs, model, judge=not reasons), tuple(reasons)))
    return judged, infer_ms


def _finding(n: int, ct_slice: CTSlice, patch: Patch, outputs: Outputs, model: Model, *, judge: bool) -> Finding:
    """The n-th output as a finding; what was not judged gets neither probability nor description."""
    centre = patch.transform.centre_px
    outline, diameter = _outline(outputs["mask"][n], patch.transform) if judge else (np.empty((0, 2)), None)
    traits = zip(model.manifest.traits, outputs["traits"][n].tolist(), strict=True) if judge else ()
    return Finding(
        id=n + 1,
        center_px=centre,
        center_mm=ct_slice.to_patient_mm(centre),
        nodule_probability=float(outputs["nodule"][n]),
        probability=float(outputs["malignancy"][n]) if judge else None,
        diameter_mm=diameter,
        traits=tuple(Trait(trait.name, value, trait.scale) for trait, value in traits),
        outline_px=outline,
        evidence=Evidence(outputs["evidence"][n], _rectangle(patch.transform)),
    )


def _rectangle(transform: PatchTransform) -> tuple[float, float, float, float]:
    edge = transform.spec.size_px - 0.5
    (left, top), (right, bottom) = transform.to_source_px(np.array([[-0.5, -0.5], [edge, edge]])).tolist()
    return left, top, right, bottom


def _outline(mask: NDArray[np.float32], transform: PatchTransform) -> tuple[NDArray[np.float64], float | None]:
    """Outline in source pixels and diameter in mm of the mask's component at the middle of the patch."""
    spec = transform.spec
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > MASK_THRESHOLD).astype(np.uint8))
    along = np.arange(spec.size_px) - spec.middle_px
    offsets_mm = np.where(labels > 0, np.hypot(along[:, None], along) * spec.spacing_mm, np.inf)
    if count < 2 or offsets_mm.min() > MAX_CENTRE_OFFSET_MM:
        return np.empty((0, 2)), None
    label = int(labels.flat[offsets_mm.argmin()])
    outlines, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    area_mm2 = float(stats[label, cv2.CC_STAT_AREA]) * spec.spacing_mm**2
    return transform.to_source_px(outlines[0][:, 0, :].astype(np.float64)), 2 * math.sqrt(area_mm2 / math.pi)


def _distinct(ct_slice: CTSlice, findings: list[Finding]) -> list[Finding]:
    """Findings numbered from 1, most probable first; of several on one nodule the surest nodule stays."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda f: -f.nodule_probability):
        if all(_apart_mm(ct_slice, finding, other) > _reach_mm(other) for other in kept):
            kept.append(finding)
    # Those that could not be judged come last.
    kept.sort(key=lambda f: -1.0 if f.probability is None else -2.0 - f.probability)
    return [replace(finding, id=number) for number, finding in enumerate(kept, start=1)]


def _apart_mm(ct_slice: CTSlice, one: Finding, other: Finding) -> float:
    rows_mm, columns_mm = ct_slice.spacing_mm
    columns, rows = (a - b for a, b in zip(one.center_px, other.center_px, strict=True))
    return math.hypot(columns * columns_mm, rows * rows_mm)


def _reach_mm(finding: Finding) -> float:
    return max(MIN_SEPARATION_MM, (finding.diameter_mm or 0.0) / 2)


def _errors(notes: Sequence[QualityNote]) -> tuple[str, ...]:
    return tuple(note.code for note in notes if note.severity == "error")


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
