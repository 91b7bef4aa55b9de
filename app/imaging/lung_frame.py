"""Where a place lies in the lungs: on which side, and how high. Fissures are not looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, PointMm, PointPx
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs

Laterality = Literal["left", "right"]
Third = Literal["upper", "middle", "lower"]

MIDDLE_MM: Final = 15.0  # on each side of the middle between the lungs: no side is told there
MIN_WIDTH_MM: Final = 180.0  # of both lungs of a small adult; one alone is narrower


@dataclass(frozen=True, slots=True)
class Location:
    """The patient's side on which a place lies, and its height within the lungs: 0 at their lowest slice, 1 at their
    highest. None where the image does not tell. Without the image's own orientation the side is `assumed`."""

    side: Laterality | None = None
    height: float | None = None
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.height is not None and not 0 <= self.height <= 1:
            raise ValueError(f"a height within the lungs is from 0 to 1, not {self.height}")

    @property
    def third(self) -> Third | None:
        """Of the lungs' height: an estimate of the lobe, no more, for the fissures are oblique."""
        if self.height is None:
            return None
        return "upper" if self.height >= 2 / 3 else "middle" if self.height >= 1 / 3 else "lower"


@dataclass(frozen=True, slots=True)
class LungFrame:
    """Where the lungs of a volume lie: the patient's x in mm of the middle between them, and the slices at their lower
    and their upper end. None where the scan does not tell."""

    middle_x_mm: float | None
    ends: tuple[int, int] | None

    def locate(self, point_mm: PointMm | None, index: int | None) -> Location:
        """A point in patient millimetres on the slice `index`."""
        return Location(_side(point_mm, self.middle_x_mm), self._height(index))

    def _height(self, index: int | None) -> float | None:
        if self.ends is None or index is None:
            return None
        low, high = self.ends
        return float(np.clip((index - low) / (high - low), 0, 1))


def lung_frame(volume: CTVolume, lungs: VolumeLungs, *, whole: bool) -> LungFrame:
    """The frame of a volume's lungs; without ends unless the scan holds them `whole`."""
    slices = np.flatnonzero(lungs.areas_cm2)
    if len(slices) < 2:
        return LungFrame(None, None)
    # An axial slice's index grows along the normal, which need not point to the head.
    first, last = int(slices[0]), int(slices[-1])
    ends = (first, last) if volume.orientation.normal[2] > 0 else (last, first)
    return LungFrame(_middle_x_mm(volume, lungs, slices), ends if whole else None)


def locate_on_slice(ct_slice: CTSlice, lungs: NDArray[np.bool_], point_px: PointPx) -> Location:
    """A (column, row) point of a slice by the middle between the lungs, a mask of the slice in its own or in larger
    pixels. Without an orientation the patient's right is taken to be on the left of the image."""
    seen = np.flatnonzero(lungs.any(axis=0))
    if not seen.size:
        return Location()
    scale, row = ct_slice.hu.shape[1] / lungs.shape[1], ct_slice.hu.shape[0] / 2
    edges_px = [float(column * scale - 0.5) for column in (seen[0], seen[-1] + 1)]
    if (edges_px[1] - edges_px[0]) * ct_slice.spacing_mm[1] < MIN_WIDTH_MM:
        return Location()
    points = [ct_slice.to_patient_mm((column, row)) for column in edges_px]
    if points[0] is None or points[1] is None:
        middle_x_mm = sum(edges_px) / 2 * ct_slice.spacing_mm[1]
        side = _side((point_px[0] * ct_slice.spacing_mm[1], 0.0, 0.0), middle_x_mm)
        return Location(side, assumed=side is not None)
    return Location(_side(ct_slice.to_patient_mm(point_px), (points[0][0] + points[1][0]) / 2))


def _side(point_mm: PointMm | None, middle_x_mm: float | None) -> Laterality | None:
    if middle_x_mm is None or point_mm is None:
        return None
    # The patient's x grows towards the left (PS3.3 C.7.6.2.1.1).
    leftwards_mm = point_mm[0] - middle_x_mm
    if abs(leftwards_mm) < MIDDLE_MM:
        return None
    return "left" if leftwards_mm > 0 else "right"


def _middle_x_mm(volume: CTVolume, lungs: VolumeLungs, slices: NDArray[np.intp]) -> float | None:
    """The patient's x halfway between the outermost columns of the lungs; None when one lung alone is seen."""
    together = np.bitwise_or.reduce(lungs.packed[slices], axis=0)
    rows, columns = lungs.work_shape
    seen = np.flatnonzero(np.unpackbits(together, count=rows * columns).reshape(rows, columns).any(axis=0))
    scale = volume.hu.shape[2] / columns
    middle_slice, middle_row = len(volume) // 2, volume.hu.shape[1] / 2
    edges = [volume.to_patient_mm(middle_slice, (column * scale, middle_row))[0] for column in (seen[0], seen[-1] + 1)]
    return None if abs(edges[1] - edges[0]) < MIN_WIDTH_MM else float(np.mean(edges))
