"""LIDC-IDRI as TCIA publishes it, folders of DICOM and the readers' XML, to the nodules of `lidc-nodules`.

One series is looked at after the other, and of its pixels only the slices that a patch is cut from are read. XML
files are matched by their series UID, so they may lie beside the DICOM files or in a folder of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from tqdm import tqdm

from app.errors import InputError
from training.data.leaks import pixel_digest
from training.data.lidc_xml import Mark, Reading, parse_reading
from training.data.marks import DrawnMark, Region, draw, group_marks, largest_region
from training.data.native_patches import native_mask, native_patch, read_image
from training.data.nodules import (
    TRAIT_SCALES,
    Dataset,
    DatasetMalformed,
    DatasetMissing,
    Nodule,
    Votes,
    digest_of,
    fold_of,
    with_neighbours,
)

logger = logging.getLogger(__name__)

SOURCE: Final = "lidc-idri"
TAGS: Final = ["PatientID", "SeriesInstanceUID", "SOPInstanceUID", "ImagePositionPatient", "PixelSpacing"]


@dataclass(frozen=True, slots=True)
class Series:
    """The files of one CT series: `slices` from the lowest to the highest, as (z in mm, SOP Instance UID, path)."""

    patient: str
    uid: str
    spacing_mm: float
    slices: tuple[tuple[float, str, Path], ...]

    @property
    def heights(self) -> dict[str, int]:
        """Number of each slice from below, by SOP Instance UID."""
        return {sop: k for k, (_, sop, _) in enumerate(self.slices)}

    @property
    def z_to_px(self) -> float:
        """Distance of two slices in pixels."""
        z = [z for z, _, _ in self.slices]
        return float(np.median(np.diff(z))) / self.spacing_mm if len(z) > 1 else 1.0


def read_lidc(root: Path) -> Dataset:
    """Read every series under `root` that has both DICOM files and a reading.

    Patients are assigned to folds by `fold_of`, which are not the folds of `lidc-nodules`. Raises DatasetMissing when
    no reading meets its series, and DatasetMalformed or another InputError naming the file that is at fault.
    """
    readings = _readings(root)
    found: list[Nodule] = []
    seen: set[str] = set()
    folders = sorted({path.parent for path in root.rglob("*") if path.suffix.lower() == ".dcm"})
    for folder in tqdm(folders, desc="LIDC-IDRI", unit="series", dynamic_ncols=True):
        for series in _series_in(folder, readings.keys() - seen):
            seen.add(series.uid)
            found += series_nodules(series, readings[series.uid], first_id=len(found) + 1)
    if not seen:
        raise DatasetMissing(
            found=f"{len(readings)} LIDC reading(s) and {len(folders)} folder(s) of DICOM that do not belong together",
            expected="the DICOM files of at least one CT series and its reader XML",
            remedy="Download the CT series together with the XML files of LIDC-IDRI.",
        )
    if without := len(readings) - len(seen):
        logger.warning("%d of %d readings have no DICOM files and were left out", without, len(readings))
    nodules = with_neighbours(found)
    return Dataset(nodules, (), ((SOURCE, digest_of(nodules)),))


def series_nodules(series: Series, reading: Reading, *, first_id: int = 1) -> list[Nodule]:
    """The nodules of one series, numbered from `first_id`: each cut from the slice where a reader's region is largest.

    Ratings keep the order of the reading sessions; `malignancy` has one entry for each reader who marked the nodule.
    """
    heights = series.heights
    if missing := {c.sop_uid for mark in reading.marks for c in mark.contours} - heights.keys():
        raise DatasetMalformed(
            found=f"{len(missing)} outlined slice(s) of patient {series.patient} without a DICOM file",
            expected="every slice of the series",
            remedy="Download the whole series again.",
        )
    paths = {sop: path for _, sop, path in series.slices}
    groups = group_marks([draw(mark) for mark in reading.marks], heights, series.z_to_px)
    return [_nodule(series, paths, group, first_id + k) for k, group in enumerate(groups)]


def _nodule(series: Series, paths: dict[str, Path], group: list[DrawnMark], number: int) -> Nodule:
    region = largest_region(group)
    ct_slice = read_image(paths[region.sop_uid])
    _require_inside(region, ct_slice.hu.shape, paths[region.sop_uid])
    return Nodule(
        nodule_id=number,
        patient=series.patient,
        fold=fold_of(series.patient),
        series_uid=series.uid,
        sop_uid=region.sop_uid,
        manufacturer=ct_slice.source.manufacturer or "",
        spacing_mm=series.spacing_mm,
        diameter_mm=region.equivalent_diameter_mm(series.spacing_mm),
        point_px=region.middle_px,
        malignancy=tuple(drawn.mark.malignancy for drawn in group),
        traits=_mean_traits([drawn.mark for drawn in group]),
        hu=native_patch(ct_slice.hu, region.middle_px),
        outline=_outline(region, ct_slice.hu.shape),
        votes=_votes(group, region, ct_slice.hu.shape),
        image_digest=pixel_digest(ct_slice.hu),
    )


def _require_inside(region: Region, shape: tuple[int, ...], path: Path) -> None:
    left, top = region.origin_px
    height, width = region.mask.shape
    if min(left, top) < 0 or top + height > shape[0] or left + width > shape[1]:
        raise DatasetMalformed(
            found=f"a contour beyond the edge of {path.name}",
            expected=f"columns 0 to {shape[1] - 1} and rows 0 to {shape[0] - 1}",
            remedy="Check that the XML belongs to this series.",
        )


def _outline(region: Region, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The region in the patch's pixels, bool (71, 71)."""
    whole = np.zeros(shape, np.bool_)
    left, top = region.origin_px
    height, width = region.mask.shape
    whole[top : top + height, left : left + width] = region.mask
    return native_mask(whole, region.middle_px)


def _votes(group: list[DrawnMark], region: Region, shape: tuple[int, ...]) -> Votes:
    """Every reader's outline on the region's slice, in the patch's pixels around its middle."""
    on_slice = [r for drawn in group for r in drawn.regions if r.sop_uid == region.sop_uid]
    masks = [_outline(replace(r, middle_px=region.middle_px), shape) for r in on_slice]
    return Votes(np.sum(masks, axis=0, dtype=np.uint8), len(masks))


def _mean_traits(marks: list[Mark]) -> tuple[float, ...]:
    """Mean of the readers who rated a trait; nan where none did."""
    columns = ([m.traits[k] for m in marks if m.traits[k] == m.traits[k]] for k in range(len(TRAIT_SCALES)))
    return tuple(float(np.mean(given)) if given else float("nan") for given in columns)


def _readings(root: Path) -> dict[str, Reading]:
    """Readings under `root` by series UID. The same one may be there twice: with the images and in the XML archive."""
    readings: dict[str, Reading] = {}
    for path in tqdm(sorted(root.rglob("*.xml")), desc="readings", unit="file", dynamic_ncols=True):
        try:
            reading = parse_reading(path.read_bytes())
        except InputError as error:
            raise DatasetMalformed(
                found=f"{error.found} in {path.relative_to(root)}", expected=error.expected, remedy=error.remedy
            ) from error
        if reading is not None and readings.setdefault(reading.series_uid, reading) != reading:
            raise DatasetMalformed(
                found=f"another reading of the same series in {path.relative_to(root)}",
                expected="one reading of each series",
                remedy="Remove the outdated XML file.",
            )
    return readings


def _series_in(folder: Path, wanted: set[str]) -> Iterator[Series]:
    """The wanted series among the DICOM files of one folder."""
    headers: dict[str, list[tuple[float, str, Path]]] = {}
    described: dict[str, tuple[str, float]] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() == ".dcm"):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
            uid = str(header.get("SeriesInstanceUID", ""))
            if uid in wanted:
                height = float(header.ImagePositionPatient[2])
                headers.setdefault(uid, []).append((height, str(header.SOPInstanceUID), path))
                described[uid] = (str(header.PatientID).strip(), float(header.PixelSpacing[0]))
        except (InvalidDicomError, AttributeError, TypeError, ValueError, IndexError) as error:
            raise DatasetMalformed(
                found=f"{folder.name}/{path.name} without usable {' or '.join(TAGS)} ({type(error).__name__})",
                expected="a DICOM slice with patient, series, position and spacing",
                remedy="Download the series again.",
            ) from None
    for uid, slices in headers.items():
        patient, spacing_mm = described[uid]
        if not patient:
            raise DatasetMalformed(
                found=f"no Patient ID in {folder.name}",
                expected="patients that can be told apart",
                remedy="Give each patient's files a Patient ID: splits are by patient.",
            )
        yield Series(patient, uid, spacing_mm, tuple(sorted(slices)))
