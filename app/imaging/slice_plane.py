"""What the slices of one series must share, and where each of them lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.errors import MixedGeometry, NoSlicePosition
from app.imaging.ct import COSINE_TOLERANCE, CTSlice, Orientation, PointMm, QualityNote, SliceSource
from app.imaging.header import malformed

MAX_SPACING_DIFFERENCE_MM: Final = 1e-3  # half a millimetre over 512 pixels; decimal strings round far below
MAX_ABS_POSITION_MM: Final = 100_000.0  # a scanner's hall
SEVERAL_FRAMES: Final = QualityNote(
    "frames_of_reference_differ",
    "warning",
    "The slices state different frames of reference; size, spacing, orientation and positions agree, so they were "
    "taken as one scan.",
)


@dataclass(frozen=True, slots=True)
class SlicePlane:
    """What all slices of a series share; everything of a slice's geometry but its position.

    Some anonymisers give every slice a frame of reference of its own: where all else agrees, that is remarked.
    """

    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    orientation: Orientation

    def refuse_other(self, other: SlicePlane) -> None:
        """Raise MixedGeometry, naming the first difference."""
        cosines, others = (np.array([o.orientation.row, o.orientation.column]) for o in (self, other))
        spacing_off = np.abs(np.subtract(self.spacing_mm, other.spacing_mm)).max()
        differences = (
            (self.shape != other.shape, "another number of rows or columns"),
            (spacing_off > MAX_SPACING_DIFFERENCE_MM, "another pixel spacing"),
            (np.abs(cosines - others).max() > COSINE_TOLERANCE, "another orientation"),
        )
        for differs, found in differences:
            if differs:
                raise _other_geometry(found)


def plane_and_position(ct_slice: CTSlice) -> tuple[SlicePlane, PointMm]:
    """Raises NoSlicePosition or MalformedDicom where a slice does not say where it lies."""
    orientation, position = ct_slice.orientation, ct_slice.position_mm
    if orientation is None or position is None:
        raise NoSlicePosition(
            found="no Image Position or Image Orientation (Patient)",
            expected="both in every slice of a series",
            remedy="Send the original slices; derived ones may have lost where they lie.",
        )
    if max(map(abs, position)) > MAX_ABS_POSITION_MM:
        raise malformed("ImagePositionPatient", f"at most {MAX_ABS_POSITION_MM:g} mm in each direction")
    source = ct_slice.source
    shape = (source.rows, source.columns)
    return SlicePlane(shape, ct_slice.spacing_mm, orientation), position


def frame_of_reference_notes(first: Sequence[SliceSource], source: SliceSource) -> tuple[QualityNote, ...]:
    """What is said of a slice in another frame of reference than the `first`, if there was one.

    Raises MixedGeometry where no series UID says that they belong together.
    """
    uids = {each.frame_of_reference_uid for each in (*first, source)} - {None}
    if len(uids) < 2:
        return ()
    if source.series_instance_uid is None:
        raise _other_geometry("another frame of reference")
    return (SEVERAL_FRAMES,)


def _other_geometry(found: str) -> MixedGeometry:
    return MixedGeometry(
        found=f"{found} than in the first slice",
        expected="slices of one size, pixel spacing and orientation, in one frame of reference or under one series UID",
        remedy="Send slices of one reconstruction.",
    )
