"""Predictions of known numbers on phantoms, one for every decision, for a slice and for a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any, Final, get_args

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.explain.overlay import draw
from app.imaging.axes import Axes
from app.imaging.ct import CTSlice, PointPx, QualityNote, SliceSource
from app.imaging.lung_frame import Location
from app.imaging.read import read_slice
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from app.inference.bundle import Bundle
from app.inference.prediction import (
    Attenuation,
    Evidence,
    Finding,
    KeySlice,
    Measured,
    Prediction,
    Series,
    Size,
    SliceOutline,
    SliceRef,
    Timing,
    Trait,
)
from app.inference.vocabulary import Decision, Suspicion
from app.reports.report import Report, ReportedSlice
from phantoms import slices as phantom
from tests.fakes import TRAITS

DECISIONS: Final[tuple[Decision, ...]] = get_args(Decision)
PROBABILITY: Final = {"cancer_suspected": 0.8742, "normal": 0.0317, "indeterminate": 0.3058}
REASONS: Final[dict[Decision, tuple[str, ...]]] = {
    "rejected": ("no_lung", "not_axial"),
    "indeterminate": ("near_operating_point",),
}
SUSPICION: Final[dict[Decision, Suspicion]] = {
    "cancer_suspected": "suspected",
    "indeterminate": "open",
    "normal": "low",
}
SEARCHED: Final = {"detector": "sha256:" + "d" * 64, "second_look": "sha256:" + "e" * 64}
DIAMETERS_MM: Final = (14.25, 8.5, 21.0)
PLACES: Final = (Location("right", 0.81), Location("left", 0.5), Location("right", 0.34))
OPERATING_POINT: Final = 0.42
WRITTEN: Final = datetime(2026, 3, 14, 15, 9, 26, tzinfo=timezone(timedelta(hours=8)))
SLICES: Final = 5
SIZE_PX: Final = 128
PIXEL_MM: Final = 2.8


def draw_report(report: Report, shown: ReportedSlice) -> NDArray[np.uint8]:
    """The picture of one slice of a report, no larger than its words need."""
    return draw(
        shown.image,
        report.prediction,
        model=report.model_line,
        language=report.language,
        slice_ref=None if report.prediction.series is None else SliceRef(shown.index, shown.source.sop_instance_uid),
        min_width_px=512,
    )


def slice_file(**attributes: Any) -> bytes:
    """A DICOM file of one phantom slice."""
    hu = phantom.chest(size_px=SIZE_PX, spacing_mm=PIXEL_MM)
    return phantom.dicom(hu, spacing_mm=PIXEL_MM, **attributes)


def series_files(slices: int = SLICES, name: str = "instance", **attributes: Any) -> list[bytes]:
    """The files of one phantom series, 2.5 mm apart, from the head down; UIDs of instances come of `name`."""
    return [
        slice_file(
            SOPInstanceUID=phantom.derived_uid(f"{name} {n}"),
            ImagePositionPatient=[-178.5, -178.5, -140.0 - 2.5 * n],
            InstanceNumber=n + 1,
            **attributes,
        )
        for n in range(slices)
    ]


def enhanced_file() -> bytes:
    """One multi-frame file with as many slices as the series, from the feet up."""
    frames = [phantom.chest(size_px=SIZE_PX, spacing_mm=PIXEL_MM, seed=n) for n in range(SLICES)]
    group = phantom.functional_group
    return phantom.enhanced_dicom(
        frames,
        shared=[
            group("PixelMeasuresSequence", PixelSpacing=[PIXEL_MM, PIXEL_MM], SliceThickness=2.5),
            group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
            group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"),
        ],
        per_frame=[
            group("PlanePositionSequence", ImagePositionPatient=[-178.5, -178.5, -140.0 + 2.5 * n])
            for n in range(SLICES)
        ],
    )


def header(data: bytes) -> Dataset:
    """The data set of a file, without its pixels."""
    return pydicom.dcmread(BytesIO(data), stop_before_pixels=True)


def slice_report(decision: Decision, bundle: Bundle, data: bytes | None = None) -> Report:
    """A report on the one nodule of a slice that was pointed at."""
    data = data or slice_file()
    ct_slice = read_slice(data)
    centre = (ct_slice.hu.shape[1] * 0.3, ct_slice.hu.shape[0] * 0.47)
    found = finding(1, ct_slice, centre, DIAMETERS_MM[0], PROBABILITY.get(decision))
    prediction = predict(decision, [found], ct_slice.source, ct_slice.spacing_mm)
    return Report(prediction, ct_slice, [header(data)], bundle, WRITTEN, roi_px=centre)


def series_report(decision: Decision, bundle: Bundle, files: Sequence[bytes] | None = None) -> Report:
    """A report on a series with three findings, two of them largest on one slice; the last could not be judged."""
    files = files or series_files()
    builder = SeriesBuilder()
    for data in files:
        builder.add(data)
    volume = builder.build()
    probability = PROBABILITY.get(decision)
    found = [
        in_series(finding(n, volume.slice_at(index), centre, diameter, p if n < 3 else None), volume, index)
        for n, (index, centre, diameter, p) in enumerate(
            (
                (1, (40.0, 60.5), DIAMETERS_MM[0], probability),
                (3, (90.0, 61.0), DIAMETERS_MM[1], None if probability is None else probability / 2),
                (3, (38.0, 50.0), DIAMETERS_MM[2], probability),
            ),
            start=1,
        )
    ]
    found = [replace(each, suspicion=SUSPICION.get(decision), suspicion_score=3.5 - each.id) for each in found]
    return Report(
        predict(decision, found, volume.sources[0], volume.spacing_mm[1:], volume),
        volume,
        [header(data) for data in files],
        bundle,
        WRITTEN,
        searched=SEARCHED,
    )


def empty_report(decision: Decision, bundle: Bundle) -> Report:
    """A report on a slice that was searched, in which nothing gave a probability: the one finding of a suspicion was
    unlike the training data, and the other decisions have none."""
    data = slice_file()
    ct_slice = read_slice(data)
    found = []
    if decision == "cancer_suspected":
        unjudged = finding(1, ct_slice, (40.0, 60.5), DIAMETERS_MM[0], None)
        found = [replace(unjudged, suspicion="suspected", suspicion_score=3.5)]
    prediction = predict(decision, found, ct_slice.source, ct_slice.spacing_mm)
    return Report(prediction, ct_slice, [header(data)], bundle, WRITTEN, searched=SEARCHED)


def predict(
    decision: Decision,
    findings: Sequence[Finding],
    source: SliceSource,
    spacing_mm: tuple[float, float],
    volume: CTVolume | None = None,
) -> Prediction:
    """A prediction with the numbers of its decision."""
    sets: dict[Decision, tuple[Any, ...]] = {
        "cancer_suspected": ("cancer_suspected",),
        "normal": ("normal",),
        "indeterminate": ("cancer_suspected", "normal"),
        "rejected": (),
    }
    counted = any(f.probability is not None and f.suspicion != "low" for f in findings)
    return Prediction(
        decision=decision,
        probability=PROBABILITY.get(decision) if counted else None,
        operating_point=OPERATING_POINT,
        prediction_set=sets[decision],
        findings=tuple(findings),
        reasons=REASONS.get(decision, ()),
        quality=(QualityNote("thick_slice", "warning", "Slice thickness is 6 mm."),),
        source=source,
        spacing_mm=spacing_mm,
        timing=Timing(search_ms=1.0, infer_ms=1.0),
        series=None if volume is None else _series(findings, volume),
    )


def finding(
    number: int, ct_slice: CTSlice, centre_px: PointPx, diameter_mm: float, probability: float | None
) -> Finding:
    """A round nodule; what was not judged has neither probability nor outline."""
    judged = probability is not None
    rows_mm, columns_mm = ct_slice.spacing_mm
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(turn) / columns_mm, np.sin(turn) / rows_mm], axis=1) * diameter_mm / 2
    (column, row), across, down = centre_px, 16.8 / columns_mm, 16.8 / rows_mm
    values = np.random.default_rng(number).uniform(0.2, 0.9, (12, 12)).astype(np.float32)
    return Finding(
        id=number,
        center_px=centre_px,
        center_mm=ct_slice.to_patient_mm(centre_px),
        nodule_probability=0.9,
        probability=probability,
        diameter_mm=diameter_mm if judged else None,
        soft_diameter_mm=diameter_mm,
        traits=tuple(Trait(name, 1 + 0.37 * n, (1, 5)) for n, name in enumerate(TRAITS)) if judged else (),
        outline_px=circle + centre_px if judged else np.empty((0, 2)),
        evidence=Evidence(values, (column - across, row - down, column + across, row + down)),
        size=size(centre_px, ct_slice.spacing_mm, diameter_mm) if judged else None,
        location=PLACES[(number - 1) % len(PLACES)],
    )


def size(centre_px: PointPx, spacing_mm: tuple[float, float], diameter_mm: float) -> Size:
    """A size of uneven numbers: a long axis along the rows, a short one along the columns."""
    long_mm, short_mm, (column, row) = diameter_mm - 1.2345, 0.7 * diameter_mm, centre_px
    across, down = long_mm / spacing_mm[1] / 2, short_mm / spacing_mm[0] / 2
    axes = Axes(
        long_mm,
        short_mm,
        ((column - across, row), (column + across, row)),
        ((column, row - down), (column, row + down)),
    )
    mean_mm = Measured(axes.mean_mm, axes.mean_mm - 0.6789, axes.mean_mm + 0.4321)
    solid_mm = Measured(0.5 * axes.mean_mm, 0.4 * axes.mean_mm, 0.75 * axes.mean_mm)
    return Size(axes, mean_mm, 0.8 * long_mm * short_mm, Attenuation(("part_solid", "solid"), -123.45, 0.0, solid_mm))


def in_series(found: Finding, volume: CTVolume, index: int) -> Finding:
    """The finding as one of a series, with a volume and outlines on three slices."""
    refs = tuple(SliceRef(n, source.sop_instance_uid) for n, source in enumerate(volume.sources))
    found = replace(found, slice=refs[index], slices=refs[index - 1 : index + 2])
    if found.size is None:
        return found
    volume_mm3 = Measured(1234.56, 987.65, 1543.21)
    beside = 0.7 * (found.outline_px - found.center_px) + found.center_px
    outlines = {index - 1: beside, index: found.outline_px, index + 1: beside}
    return replace(
        found,
        size=replace(found.size, volume_mm3=volume_mm3),
        outlines=tuple(SliceOutline(n, points) for n, points in outlines.items()),
    )


def _series(findings: Sequence[Finding], volume: CTVolume) -> Series:
    keys: dict[SliceRef, list[int]] = {}
    for found in findings:
        assert found.slice is not None
        keys.setdefault(found.slice, []).append(found.id)
    return Series(
        slices=len(volume),
        slice_spacing_mm=volume.spacing_mm[0],
        series_instance_uid=volume.sources[0].series_instance_uid,
        study_instance_uid=volume.sources[0].study_instance_uid,
        key_slices=tuple(KeySlice(ref, tuple(ids)) for ref, ids in keys.items()),
    )
