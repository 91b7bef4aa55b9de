"""A bright nodule beside the place that was pointed at, in one image shown in several geometries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, PointPx, SliceSource
from app.imaging.patches import extract_patch
from app.inference.model import Model
from app.inference.patch_outputs import run_patches
from app.inference.prediction import Finding, Prediction, Timing
from app.inference.size import size_of

SPACING_MM: Final = 0.7
NODULE_MM: Final = 9.0
BESIDE_MM: Final = (7.0, -4.9)  # (column, row) from the place pointed at: one cell and more of the arithmetic network


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """A slice, the (column, row) pointed at, and that of the nodule's centre."""

    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float]
    roi_px: PointPx
    nodule_px: PointPx

    @property
    def ct_slice(self) -> CTSlice:
        rows, columns = self.hu.shape
        return CTSlice(np.ascontiguousarray(self.hu), self.spacing_mm, SliceSource("array", rows, columns))


def plant(spacing_mm: tuple[float, float] = (SPACING_MM, SPACING_MM)) -> Planted:
    """Lung of 140 x 98 mm with a nodule of NODULE_MM."""
    rows, columns = round(98 / spacing_mm[0]), round(140 / spacing_mm[1])
    roi = (round(60 / spacing_mm[1]), round(45 / spacing_mm[0]))
    nodule = (roi[0] + BESIDE_MM[0] / spacing_mm[1], roi[1] + BESIDE_MM[1] / spacing_mm[0])
    down, across = np.mgrid[:rows, :columns]
    radius = np.hypot((across - nodule[0]) * spacing_mm[1], (down - nodule[1]) * spacing_mm[0])
    hu = np.where(radius <= NODULE_MM / 2, 300, -850).astype(np.float32)
    return Planted(hu, spacing_mm, (float(roi[0]), float(roi[1])), nodule)


def mirrored(planted: Planted) -> Planted:
    """Left and right exchanged."""
    last = planted.hu.shape[1] - 1

    def move(point: PointPx) -> PointPx:
        return last - point[0], point[1]

    return replace(planted, hu=planted.hu[:, ::-1], roi_px=move(planted.roi_px), nodule_px=move(planted.nodule_px))


def upside_down(planted: Planted) -> Planted:
    """Top and bottom exchanged."""
    last = planted.hu.shape[0] - 1

    def move(point: PointPx) -> PointPx:
        return point[0], last - point[1]

    return replace(planted, hu=planted.hu[::-1], roi_px=move(planted.roi_px), nodule_px=move(planted.nodule_px))


def rotated(planted: Planted) -> Planted:
    """A quarter turn against the clock."""
    last = planted.hu.shape[1] - 1

    def move(point: PointPx) -> PointPx:
        return point[1], last - point[0]

    spacing = (planted.spacing_mm[1], planted.spacing_mm[0])
    return Planted(np.rot90(planted.hu), spacing, move(planted.roi_px), move(planted.nodule_px))


def cropped(planted: Planted) -> Planted:
    """Cut so that a part of the patch lies beyond the image."""
    column, row = (round(at) - 5 for at in planted.roi_px)
    row -= round(2 * abs(BESIDE_MM[1]) / planted.spacing_mm[0])

    def move(point: PointPx) -> PointPx:
        return point[0] - column, point[1] - row

    cut = planted.hu[row:, column:]
    return replace(planted, hu=cut, roi_px=move(planted.roi_px), nodule_px=move(planted.nodule_px))


def point_at(planted: Planted, model: Model, *, probability: float | None = 0.8) -> Prediction:
    """What the model says about the patch around the place pointed at, as `diagnose` would put it."""
    ct_slice = planted.ct_slice
    judged = run_patches([extract_patch(ct_slice, planted.roi_px, model.patch_spec)], model)
    middle = extract_patch(ct_slice, planted.nodule_px, model.patch_spec)
    outline = run_patches([middle], model).outline(0)
    assert outline is not None
    size = size_of(outline, middle, (), 0.0)
    finding = Finding(
        id=1,
        center_px=planted.roi_px,
        center_mm=None,
        nodule_probability=0.9,
        probability=probability,
        diameter_mm=outline.diameter_mm,
        soft_diameter_mm=outline.diameter_mm,
        traits=(),
        outline_px=outline.points_px,
        evidence=judged.evidence(0),
        size=size,
    )
    return Prediction(
        decision="rejected" if probability is None else "cancer_suspected",
        probability=probability,
        operating_point=0.5,
        prediction_set=() if probability is None else ("cancer_suspected",),
        findings=(finding,),
        reasons=("no_lung",) if probability is None else (),
        quality=(),
        source=ct_slice.source,
        spacing_mm=planted.spacing_mm,
        timing=Timing(search_ms=0, infer_ms=0),
    )
