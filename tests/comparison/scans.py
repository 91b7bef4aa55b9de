"""Two scans of arithmetic: lungs of two ellipsoids, findings at known places with known volumes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any, Final

import numpy as np

from app.comparison.compare import Scan, look_nowhere
from app.comparison.lung_shape import LungShape, Matrix, ScanGrid, moved
from app.comparison.patients import HeaderFacts
from app.imaging.axes import Axes
from app.imaging.ct import PointMm, ScanFacts, SliceSource
from app.inference.prediction import (
    Attenuation,
    Evidence,
    Finding,
    Measured,
    Prediction,
    Series,
    Size,
    Timing,
)
from app.inference.vocabulary import Decision, Suspicion
from tests.comparison.lungs import lungs_at, pose

STILL: Final = pose((0, 0, 0), (0, 0, 0))
ANNA: Final = {"PatientID": "17", "PatientBirthDate": "19500101", "PatientSex": "f"}


@cache
def _lungs(rotation_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> LungShape:
    return lungs_at(pose(rotation_deg, shift_mm), (6.0, 6.0, 6.0))


def found(
    number: int, place_mm: PointMm, volume_mm3: float | None, suspicion: Suspicion = "suspected", share: float = 0.1
) -> Finding:
    """A finding whose volume is uncertain by a share; None was not measured."""
    return Finding(
        id=number,
        center_px=(0.0, 0.0),
        center_mm=place_mm,
        nodule_probability=0.9,
        probability=0.5,
        diameter_mm=8.0,
        soft_diameter_mm=8.0,
        traits=(),
        outline_px=np.empty((0, 2)),
        evidence=Evidence(np.zeros((2, 2), np.float32), (0.0, 0.0, 1.0, 1.0)),
        suspicion=suspicion,
        suspicion_score=3.0,
        size=None if volume_mm3 is None else _size(volume_mm3, share),
    )


def _size(volume_mm3: float, share: float) -> Size:
    axes = Axes(8.0, 7.0, ((0.0, 0.0), (1.0, 0.0)), ((0.0, 0.0), (0.0, 1.0)))
    volume = Measured(volume_mm3, volume_mm3 * (1 - share), volume_mm3 * (1 + share))
    return Size(axes, Measured(7.5, 7.0, 8.0), 40.0, Attenuation(("solid",), 30.0, 0.0), volume)


def scan(
    *findings: Finding,
    rotation_deg: tuple[float, float, float] = (0, 0, 0),
    shift_mm: tuple[float, float, float] = (0, 0, 0),
    day: str | None = None,
    patient: Mapping[str, str] = ANNA,
    decision: Decision | None = None,
    **changes: Any,
) -> Scan:
    """A scan in which the patient lies at a pose."""
    lungs = changes.get("lungs", _lungs(rotation_deg, shift_mm))
    dates = {} if day is None else {"StudyDate": date.fromisoformat(day)}
    slice_mm, kernel = changes.get("slice_mm", 2.5), changes.get("kernel")
    facts = ScanFacts(kernel=kernel)
    source = SliceSource("dicom", 128, 128, series_instance_uid=changes.get("series"), facts=facts)
    decision = decision or ("cancer_suspected" if findings else "normal")
    prediction = Prediction(
        decision=decision,
        probability=0.5 if findings else None,
        operating_point=0.4,
        prediction_set=(),
        findings=findings,
        reasons=("no_lung",) if decision == "rejected" else (),
        quality=(),
        source=source,
        spacing_mm=(2.8, 2.8),
        timing=Timing(1.0, 1.0),
        series=Series(144, slice_mm, changes.get("series"), None, ()),
    )
    headers, look = HeaderFacts(dict(patient), dates), changes.get("look", look_nowhere)
    return Scan(prediction, _grid(changes.get("slices", 144)), lungs, headers, look)


def _grid(slices: int) -> ScanGrid:
    """Axial slices of 2.5 mm from the feet up."""
    to_mm = np.eye(4)
    to_mm[:3, :3] = np.diag([2.8, 2.8, 2.5])[:, ::-1]
    to_mm[:3, 3] = (-190.0, -160.0, -180.0)
    return ScanGrid((slices, 128, 140), to_mm, tuple(f"1.2.{n}" for n in range(slices)))


def at(place_mm: PointMm, matrix: Matrix) -> PointMm:
    """A place after a motion."""
    x, y, z = moved(matrix, np.array([place_mm]))[0].tolist()
    return x, y, z
