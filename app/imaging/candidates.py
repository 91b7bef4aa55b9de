"""Where in the lungs a nodule may be: a plain multi-scale Laplacian of Gaussian (Lindeberg 1998)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, PointPx
from app.imaging.lungs import Mask

DIAMETERS_MM: Final = (5.0, 7.0, 10.0, 14.0, 20.0, 28.0)
WORK_SPACING_MM: Final = 1.0  # the smallest blob keeps a sigma above one and a half pixels
OUTSIDE_HU: Final = -850.0  # outside the lungs everything looks like lung, so that the chest wall is no edge
CLIP_HU: Final = (-1000.0, 200.0)  # calcium must not outshine soft tissue
MIN_RESPONSE_HU: Final = 60.0  # about a sub-solid nodule's contrast after the filter
MAX_CANDIDATES: Final = 64  # one batch; the strongest are kept


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob: centre (column, row) in pixels of the slice, diameter, and the filter's response in HU."""

    centre_px: PointPx
    diameter_mm: float
    response_hu: float


def find_candidates(ct_slice: CTSlice, lungs: Mask) -> tuple[Candidate, ...]:
    """Candidates inside `lungs` (boolean, the slice's shape), strongest first, at most MAX_CANDIDATES."""
    if not lungs.any():
        return ()
    top, bottom, left, right = _bounds(lungs)
    crop = np.where(lungs, np.clip(ct_slice.hu, *CLIP_HU), np.float32(OUTSIDE_HU))[top:bottom, left:right]
    rows_mm, columns_mm = ct_slice.spacing_mm
    scale_x, scale_y = columns_mm / WORK_SPACING_MM, rows_mm / WORK_SPACING_MM
    work_size = (max(3, round(crop.shape[1] * scale_x)), max(3, round(crop.shape[0] * scale_y)))
    scale_x, scale_y = work_size[0] / crop.shape[1], work_size[1] / crop.shape[0]
    work = np.asarray(cv2.resize(crop, work_size, interpolation=cv2.INTER_AREA), np.float32)
    inside = cv2.resize(lungs[top:bottom, left:right].astype(np.uint8), work_size, interpolation=cv2.INTER_NEAREST)
    peaks = _peaks(np.stack([_response(work, d) for d in DIAMETERS_MM]), inside.astype(bool))
    return tuple(
        # The centre of pixel 0 is 0 at both sizes: hence the halves.
        Candidate(((x + 0.5) / scale_x - 0.5 + left, (y + 0.5) / scale_y - 0.5 + top), DIAMETERS_MM[s], response)
        for s, y, x, response in peaks
    )


def _bounds(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _response(image: NDArray[np.float32], diameter_mm: float) -> NDArray[np.float32]:
    """Scale-normalised negative Laplacian: a bright disc of `diameter_mm` answers with about its contrast."""
    sigma = diameter_mm / (2 * math.sqrt(2)) / WORK_SPACING_MM
    smooth = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    curvature = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(-(sigma**2) * curvature, np.float32)


def _peaks(responses: NDArray[np.float32], inside: Mask) -> list[tuple[int, int, int, float]]:
    """(scale, row, column, response) of local maxima over place and scale, strongest first, none inside another."""
    strongest = responses.max(axis=0)
    highest_around = cv2.dilate(strongest, np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero((strongest >= highest_around) & (strongest >= MIN_RESPONSE_HU) & inside)
    order = np.argsort(-strongest[rows, columns])
    kept: list[tuple[int, int, int, float]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        scale = int(responses[:, row, column].argmax())
        if all(math.hypot(row - r, column - c) * WORK_SPACING_MM > DIAMETERS_MM[s] / 2 for s, r, c, _ in kept):
            kept.append((scale, row, column, float(strongest[row, column])))
        if len(kept) == MAX_CANDIDATES:
            break
    return kept
