"""Pictures and files that are not what they seem: reformats in other planes, wrong HU scales, parts of a chest."""

from __future__ import annotations

import io
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import InputError
from app.imaging.read import read_slice
from app.imaging.series import SeriesBuilder
from app.inference.vocabulary import Decision
from benchmarks.scan.answers import Frozen, Judge, answer_of
from benchmarks.scan.chest_slices import picture
from benchmarks.scan.known import KnownScan
from training.data.scans import ScanConfig

Plane = Literal["axial", "coronal", "sagittal"]
Form = Literal["picture", "dicom"]

PLANES: Final[tuple[Plane, ...]] = ("axial", "coronal", "sagittal")
CUTS: Final = 12  # of each plane, through the middle half of the lungs
SCALES: Final = ((1.0, -1024), (1.5, -1024), (2.0, -1024), (0.7, -1024), (1.0, -800), (1.0, -1200))  # slope, intercept
SCALED: Final = "lidc-0012"
SCALED_SLICES: Final = range(54, 78)  # around its largest nodule, as its files are named
SCALED_SLICE: Final = 63
PARTS: Final = ((20, 30), (80, 90), (80, 83))
ORIENTATION: Final = ("ImageOrientationPatient", "ImagePositionPatient", "SliceLocation", "PatientPosition")
HEADERS: Final = {"RescaleType": "Houndsfield Unit"}  # as one maker writes it


class Cut(Frozen):
    """A plane of a scan without any word of its orientation. `decision` is None where it was refused."""

    scan: str
    plane: Plane
    form: Form
    index: int
    decision: Decision | None
    reasons: tuple[str, ...]


class Case(Frozen):
    """Something changed in files of a scan, and what was said: `decision` is None where they were refused, and
    `reasons` then holds the code."""

    case: str
    what: Literal["slice", "series"]
    decision: Decision | None
    probability: float | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


class Reformats(Frozen):
    """All of them."""

    cuts: tuple[Cut, ...]
    cases: tuple[Case, ...]


def cuts(known: KnownScan, folder: Path, judge: Judge) -> Iterator[Cut]:
    """Judge CUTS of each plane of a scan, each as a picture and as DICOM without orientation."""
    template = pydicom.dcmread(next(iter(sorted(folder.glob("*.dcm")))))
    spacing_mm = known.scan.volume.spacing_mm[2]
    for plane in tqdm(PLANES, desc=f"planes of {known.name}"):
        for index, hu in _planes(known, plane):
            files: dict[Form, bytes] = {"picture": picture(hu), "dicom": _without_orientation(template, hu, spacing_mm)}
            for form, data in files.items():
                said = judge.on_slice(read_slice(data))
                yield Cut(
                    scan=known.name, plane=plane, form=form, index=index, decision=said.decision, reasons=said.reasons
                )


def cases(data: Path, config: ScanConfig, judge: Judge, per_slice_frame: Path) -> Iterator[Case]:
    """Wrong scales, parts of a chest, and headers that are odd but tell enough: these last are to be accepted.

    `per_slice_frame` is the folder of a series whose slices each have a frame of reference of their own.
    """
    files = sorted((data / config.folder).glob("*.dcm"))
    for slope, intercept in SCALES:
        changed = {"RescaleSlope": str(slope), "RescaleIntercept": str(intercept)}
        name = f"slope {slope:g}, intercept {intercept}"
        yield _slice_case(name, _changed(files[SCALED_SLICE], changed), judge)
        yield _series_case(name, [_changed(files[k], changed) for k in SCALED_SLICES], judge)
    upwards = sorted(files, key=_height_mm)
    for low, high in PARTS:
        yield _series_case(f"slices {low} to {high - 1} alone", [f.read_bytes() for f in upwards[low:high]], judge)
    yield _slice_case("RescaleType Houndsfield Unit", _changed(files[SCALED_SLICE], HEADERS), judge)
    others = [file.read_bytes() for file in sorted(per_slice_frame.glob("*.dcm"))]
    yield _series_case("a frame of reference for each slice", others, judge)


def _height_mm(file: Path) -> float:
    return float(pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient[2])


def _planes(known: KnownScan, plane: Plane) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(index, HU) of planes through the middle half of the scan's lungs, on square pixels, the head above."""
    volume, axis = known.scan.volume, PLANES.index(plane)
    free = np.array(known.free)
    span = (free.min(), free.max()) if plane == "axial" else (0, volume.hu.shape[axis])
    for index in np.linspace(span[0] + (span[1] - span[0]) / 4, span[1] - (span[1] - span[0]) / 4, CUTS).astype(int):
        image = np.take(volume.hu, index, axis=axis).astype(np.float32)
        if plane != "axial":
            rows = round(len(volume) * volume.spacing_mm[0] / volume.spacing_mm[2])
            image = cv2.resize(image[::-1], (image.shape[1], rows), interpolation=cv2.INTER_LINEAR)
        yield int(index), np.ascontiguousarray(image, np.float32)


def _without_orientation(template: pydicom.Dataset, hu: NDArray[np.float32], spacing_mm: float) -> bytes:
    dataset = deepcopy(template)
    for name in ORIENTATION:
        if name in dataset:
            delattr(dataset, name)
    dataset.Rows, dataset.Columns = hu.shape
    dataset.PixelSpacing = [f"{spacing_mm:.6f}"] * 2
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    dataset.PixelRepresentation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 16, 16, 15
    for name in ("PixelPaddingValue", "SmallestImagePixelValue", "LargestImagePixelValue"):
        if name in dataset:
            delattr(dataset, name)
    dataset.PixelData = np.clip(np.rint(hu) + 1024, 0, 4095).astype("<u2").tobytes()
    return _written(dataset)


def _changed(file: Path, fields: dict[str, str]) -> bytes:
    dataset = pydicom.dcmread(file)
    for name, value in fields.items():
        setattr(dataset, name, value)
    return _written(dataset)


def _written(dataset: pydicom.Dataset) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def _slice_case(name: str, file: bytes, judge: Judge) -> Case:
    try:
        answer = answer_of(judge.on_slice(read_slice(file)))
    except InputError as error:
        return _refused(name, "slice", error)
    said = answer.model_dump(include={"decision", "probability", "reasons", "warnings"})
    return Case(case=name, what="slice", **said)


def _series_case(name: str, files: list[bytes], judge: Judge) -> Case:
    builder = SeriesBuilder()
    try:
        for file in files:
            builder.add(file)
        answer = answer_of(judge.in_series(builder.build()))
    except InputError as error:
        return _refused(name, "series", error)
    said = answer.model_dump(include={"decision", "probability", "reasons", "warnings"})
    return Case(case=name, what="series", **said)


def _refused(name: str, what: Literal["slice", "series"], error: InputError) -> Case:
    return Case(case=name, what=what, decision=None, probability=None, reasons=(type(error).__name__,), warnings=())
