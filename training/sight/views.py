"""Pictures to learn from: axial slices of chests, and what is none: other planes, other regions, no CT at all."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from app.errors import InputError
from app.imaging.ct import CTSlice, FloatImage, SliceSource
from app.imaging.lungs import lung_area_cm2, segment_lungs
from app.imaging.picture import ASSUMED_FIELD_OF_VIEW_MM, DEFAULT_WINDOW
from app.imaging.read import read_slice
from phantoms.lung_volumes import series_volume

Kind = Literal["axial", "coronal", "sagittal", "region", "picture"]
Hu = NDArray[np.int16]

SIDE_PX: Final = 192  # of the longer side: three times what a network sees, so that a part of it fills the input
MIN_CHEST_CM2: Final = 20.0  # of lung: an axial slice with less may be a neck or an abdomen, and is not learned from
NO_LUNG_CM2: Final = 0.5  # an axial slice of a scan with less shows neck, shoulders or abdomen
EVERY: Final = 5  # rows or columns between two reformatted pictures: neighbours are the same
BODY_HU: Final = -300.0
MIN_BODY: Final = 0.1  # of a plane, for it to show a body
FOLD_OF_SCAN: Final = {"lidc-0012": 4, "lidc-0001": 1, "cptac-c3n-00247": 0}
FOLDS: Final = (4, 1, 0)
CHEST: Final = ("chest", "lung base")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A slice of the development data, or another picture, as it would be sent."""

    ct_slice: CTSlice
    source: str
    patient: str
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture to learn from: int16 HU (rows, columns) in square pixels, where it is from, and what it shows.

    `is_chest` is None where it cannot be said, as of an axial slice with a tip of lung.
    """

    hu: Hu
    source: str
    patient: str
    name: str
    kind: Kind
    lung_cm2: float
    is_chest: bool | None
    fold: int = 0


def development_views(data: Path) -> list[View]:
    """Everything in the development data that can be seen as a picture, with the fold that it is judged in."""
    return _with_folds([view_of(picture) for picture in development_pictures(data)])


def development_pictures(data: Path) -> Iterator[Picture]:
    """The same, one whole picture after the other."""
    for scan in FOLD_OF_SCAN:
        yield from _of_scan(data / "series" / scan)
    yield from _chest_slices(data / "chest-slices")
    yield from _teaching_slices(data / "iq-othnccd")
    yield from _others(data)


def learned(views: Sequence[View]) -> dict[str, dict[str, int | str]]:
    """By source: patients (groups of near-duplicates, files), views that are learned from, and their digest."""
    found: dict[str, dict[str, int | str]] = {}
    for source in sorted({view.source for view in views}):
        mine = [view for view in views if view.source == source and view.is_chest is not None]
        digest = hashlib.sha256(b"".join(view.hu.tobytes() for view in mine)).hexdigest()
        found[source] = {"patients": len({v.patient for v in mine}), "items": len(mine), "digest": f"sha256:{digest}"}
    return found


def view_of(picture: Picture) -> View:
    """An axial slice is of a chest where it shows enough lung, and of another region where a scan's shows none."""
    kind, ct_slice = picture.kind, picture.ct_slice
    area = lung_area_cm2(segment_lungs(ct_slice), ct_slice)
    if kind == "axial" and picture.source == "scan" and area < NO_LUNG_CM2:
        kind = "region"
    known = kind != "axial" or area >= MIN_CHEST_CM2
    return View(
        shrunken(ct_slice),
        picture.source,
        picture.patient,
        picture.name,
        kind,
        area,
        kind == "axial" if known else None,
    )


def shrunken(ct_slice: CTSlice) -> Hu:
    """A slice in square pixels, SIDE_PX along its longer side."""
    sides_mm = [n * mm for n, mm in zip(ct_slice.hu.shape, ct_slice.spacing_mm, strict=True)]
    rows, columns = (max(8, round(SIDE_PX * side / max(sides_mm))) for side in sides_mm)
    return np.asarray(cv2.resize(ct_slice.hu, (columns, rows), interpolation=cv2.INTER_AREA), np.int16)


def plane(hu: Hu | FloatImage, spacing_mm: tuple[float, float]) -> CTSlice:
    """A plane of a volume as a slice that says nothing of its orientation."""
    return CTSlice(hu.astype(np.float32), spacing_mm, SliceSource("array", *hu.shape))


def _of_scan(folder: Path) -> Iterator[Picture]:
    """A scan's slices, then every fifth coronal and sagittal plane that shows a body, head up."""
    volume = series_volume(folder)
    z_mm, y_mm, x_mm = volume.spacing_mm
    for n in range(len(volume)):
        yield Picture(plane(volume.hu[n], (y_mm, x_mm)), "scan", folder.name, f"axial {n}", "axial")
    upright = volume.hu[::-1]
    for row in _shown(volume.hu > BODY_HU, 1):
        yield Picture(plane(upright[:, row], (z_mm, x_mm)), "scan", folder.name, f"coronal {row}", "coronal")
    for column in _shown(volume.hu > BODY_HU, 2):
        yield Picture(plane(upright[:, :, column], (z_mm, y_mm)), "scan", folder.name, f"sagittal {column}", "sagittal")


def _shown(body: NDArray[np.bool_], axis: int) -> range:
    rest = tuple(other for other in range(3) if other != axis)
    shown = np.flatnonzero(body.mean(axis=rest) > MIN_BODY)
    return range(int(shown[0]), int(shown[-1]), EVERY)


def _chest_slices(folder: Path) -> Iterator[Picture]:
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            ct_slice = read_slice((folder / row["file"]).read_bytes())
            kind: Kind = "axial" if row["region"] in CHEST else "region"
            yield Picture(ct_slice, "chest-slices", row["patient"], row["file"], kind)


def _teaching_slices(folder: Path) -> Iterator[Picture]:
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if not row["drop_reason"]:
                ct_slice = read_slice((folder / row["path"]).read_bytes())
                yield Picture(ct_slice, "iq-othnccd", row["group"], row["path"], "axial")


def _others(data: Path) -> Iterator[Picture]:
    """Other regions as CT, and everything else as the picture that somebody might make of it."""
    for path in [*sorted((data / "not-lung-ct").glob("*.dcm")), data / "dicom-variants" / "CTImage.dcm"]:
        try:
            yield Picture(read_slice(path.read_bytes()), "not-lung-ct", path.name, path.name, "region")
        except InputError:
            shown = _as_picture(path)
            if shown is not None:
                yield Picture(shown, "not-lung-ct", path.name, path.name, "picture")


def _as_picture(path: Path) -> CTSlice | None:
    # Whatever pydicom meets: damaged files are among them, and a picture that nobody can make is not missed.
    with suppress(Exception):
        values = pydicom.dcmread(path).pixel_array.astype(np.float32)
        while values.ndim > 2:
            values = values[..., 0] if values.shape[-1] == 3 else values[len(values) // 2]
        low, high = float(values.min()), float(values.max())
        hu = DEFAULT_WINDOW.low_hu + DEFAULT_WINDOW.width_hu * (values - low) / max(1.0, high - low)
        spacing = ASSUMED_FIELD_OF_VIEW_MM / max(hu.shape)
        return CTSlice(np.ascontiguousarray(hu), (spacing, spacing), SliceSource("array", *hu.shape))
    return None


def _with_folds(views: Sequence[View]) -> list[View]:
    """Scans in theirs; the patients, or near-duplicates, of each source round-robin."""
    fold_of: dict[tuple[str, str], int] = {("scan", scan): fold for scan, fold in FOLD_OF_SCAN.items()}
    for source in {view.source for view in views} - {"scan"}:
        for n, patient in enumerate(sorted({view.patient for view in views if view.source == source})):
            fold_of[source, patient] = FOLDS[n % len(FOLDS)]
    return [replace(view, fold=fold_of[view.source, view.patient]) for view in views]
