"""A generated CT series with a reading in LIDC-IDRI's own formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phantoms.slices import Disc, chest, derived_uid, dicom
from training.data.lidc_xml import NAMESPACE
from training.data.nodules import TRAIT_SCALES

SIZE_PX, SPACING_MM, SLICE_MM = 256, 1.4, 2.5
Box = tuple[int, int, int, int]  # left, top, right, bottom, all on the contour


@dataclass(frozen=True, slots=True)
class Drawn:
    """One reader's nodule: a box on each of some slices, or a point without ratings."""

    boxes: dict[int, Box]
    malignancy: int | None = 4
    texture: int = 5
    hole: Box | None = None


def sop_uid(patient: str, number: int) -> str:
    """SOP Instance UID of a slice."""
    return derived_uid(f"{patient} slice {number}")


def series_uid(patient: str) -> str:
    """Series Instance UID of a patient's only series."""
    return derived_uid(f"{patient} series")


def write_series(folder: Path, patient: str, *, slices: int = 5, seed: int = 7) -> None:
    """DICOM files of a chest with one nodule, numbered against their height: file names mean nothing."""
    folder.mkdir(parents=True)
    for number in range(slices):
        hu = chest([Disc((74.0, 120.0), 14.0)], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=seed + number)
        data = dicom(
            hu,
            spacing_mm=SPACING_MM,
            PatientID=patient,
            SOPInstanceUID=sop_uid(patient, number),
            SeriesInstanceUID=series_uid(patient),
            ImagePositionPatient=[-178.5, -178.5, -140.0 + SLICE_MM * number],
        )
        (folder / f"1-{slices - number:03d}.dcm").write_bytes(data)


def reading_xml(patient: str, sessions: Sequence[Sequence[Drawn]]) -> bytes:
    """The XML of one session for each reader, with a non-nodule in the first."""
    read = "".join(f"<readingSession>{''.join(_nodule(patient, d) for d in s)}</readingSession>" for s in sessions)
    other = f"<nonNodule><imageSOP_UID>{sop_uid(patient, 0)}</imageSOP_UID></nonNodule>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage xmlns="{NAMESPACE}"><ResponseHeader>'
        f"<SeriesInstanceUid>{series_uid(patient)}</SeriesInstanceUid></ResponseHeader>"
        f"{read.replace('</readingSession>', other + '</readingSession>', 1)}</LidcReadMessage>"
    ).encode()


def _nodule(patient: str, drawn: Drawn) -> str:
    ratings = dict.fromkeys(TRAIT_SCALES, 3) | {"texture": drawn.texture}
    given = "".join(f"<{name}>{value}</{name}>" for name, value in ratings.items())
    rated = drawn.malignancy is not None
    characteristics = f"<characteristics>{given}<malignancy>{drawn.malignancy}</malignancy></characteristics>"
    rois = "".join(_roi(patient, number, box, "TRUE") for number, box in drawn.boxes.items())
    if drawn.hole:
        rois += "".join(_roi(patient, number, drawn.hole, "FALSE") for number in drawn.boxes)
    return f"<unblindedReadNodule>{characteristics if rated else ''}{rois}</unblindedReadNodule>"


def _roi(patient: str, number: int, box: Box, inclusion: str) -> str:
    left, top, right, bottom = box
    ring = [(x, top) for x in range(left, right)] + [(right, y) for y in range(top, bottom)]
    ring += [(x, bottom) for x in range(right, left, -1)] + [(left, y) for y in range(bottom, top, -1)]
    edge = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in ring or [(left, top)])
    return f"<roi><imageSOP_UID>{sop_uid(patient, number)}</imageSOP_UID><inclusion>{inclusion}</inclusion>{edge}</roi>"


def slice_hu(number: int, seed: int = 7) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """What `write_series` put into a slice."""
    return chest([Disc((74.0, 120.0), 14.0)], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=seed + number)
