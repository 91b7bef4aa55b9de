"""Whether slices make one regular axial stack, judged by where they lie (Image Position (Patient), PS3.3 C.7.6.2.1.1).

Positions are (slices, 3) in patient millimetres; a slice's height is its position along the slice normal.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.errors import (
    DuplicatePosition,
    GantryTilt,
    IrregularSpacing,
    MissingSlices,
    MixedGeometry,
    NotAxial,
    SpacingTooLarge,
    TooFewSlices,
)
from app.imaging.ct import Orientation
from app.imaging.quality import MAX_TILT_DEG
from app.imaging.volume import Positions, heights_mm

MIN_STACK_SLICES: Final = 3  # whether slices are evenly spaced needs two distances
MAX_STACK_TILT_DEG: Final = 1.0  # a nodule drifts by a pixel in 40 mm
MAX_SLICE_SPACING_MM: Final = 5.0  # a 6 mm nodule may fall between slices further apart
SAME_PLACE_MM: Final = 0.01  # a tenth of the finest reconstruction increment
MAX_SPACING_JITTER_MM: Final = 0.1  # half the finest resample step; positions written to 0.1 mm vary by as much
MAX_SPACING_JITTER: Final = 0.25  # fraction of the spacing, where that is less
GAP_STEPS: Final = 1.5  # from here on it is nearer to a missing slice than to a shifted one
MAX_SIDEWAYS_MM: Final = 1.0  # more than a pixel beside its neighbours
ROUNDING_MM: Final = 1e-6  # of sums of decimal strings


def stack_spacing_mm(positions: Positions, orientation: Orientation) -> float:
    """Mean distance between neighbouring slices along the normal; `positions` ascend in height.

    Raises TooFewSlices, NotAxial, DuplicatePosition, GantryTilt, MixedGeometry (a slice beside the others),
    MissingSlices, IrregularSpacing or SpacingTooLarge.
    """
    if len(positions) < MIN_STACK_SLICES:
        raise TooFewSlices(
            found=f"{len(positions)} slice(s)",
            expected=f"at least {MIN_STACK_SLICES} slices of one series",
            remedy="Send the whole series, or single slices one by one to be judged alone.",
        )
    if orientation.tilt_deg > MAX_TILT_DEG:
        raise NotAxial(
            found=f"slices tilted {orientation.tilt_deg:.0f}° from axial",
            expected=f"at most {MAX_TILT_DEG:g}°",
            remedy="Send the axial reconstruction, not a coronal or sagittal one.",
        )
    heights = heights_mm(positions, orientation)
    _refuse_shared_places(positions, heights)
    _refuse_shear(positions, heights, orientation)
    _refuse_uneven_steps(positions, heights)
    return float((heights[-1] - heights[0]) / (len(heights) - 1))


def _refuse_shared_places(positions: Positions, heights: NDArray[np.float64]) -> None:
    shared = np.flatnonzero(np.diff(heights) <= SAME_PLACE_MM)
    if shared.size:
        raise DuplicatePosition(
            found=f"{shared.size} pair(s) of different slices at one place, the first at {_z(positions, shared[0])}",
            expected="one slice at each place",
            remedy="Send one reconstruction, phase or time point at a time.",
        )


def _refuse_shear(positions: Positions, heights: NDArray[np.float64], orientation: Orientation) -> None:
    """Slices may shift sideways neither steadily, as under a tilted gantry, nor by themselves."""
    sideways = positions - heights[:, None] * np.asarray(orientation.normal)
    apart = len(heights) // 2  # far enough for rounded positions not to matter
    shift = np.median((sideways[apart:] - sideways[:-apart]) / (heights[apart:] - heights[:-apart])[:, None], axis=0)
    tilt_deg = math.degrees(math.atan(float(np.linalg.norm(shift))))
    if tilt_deg > MAX_STACK_TILT_DEG:
        raise GantryTilt(
            found=f"slices stacked at {tilt_deg:.1f}° from their normal (gantry tilt)",
            expected=f"at most {MAX_STACK_TILT_DEG:g}°",
            remedy="Send a reconstruction without tilt.",
        )
    rest = sideways - heights[:, None] * shift
    off_mm = np.linalg.norm(rest - np.median(rest, axis=0), axis=1)
    worst = int(off_mm.argmax())
    if off_mm[worst] > MAX_SIDEWAYS_MM:
        raise MixedGeometry(
            found=f"a slice {off_mm[worst]:.1f} mm beside the others, at {_z(positions, worst)}",
            expected=f"slices straight above each other, within {MAX_SIDEWAYS_MM:g} mm",
            remedy="Send slices of one reconstruction.",
        )


def _refuse_uneven_steps(positions: Positions, heights: NDArray[np.float64]) -> None:
    steps = np.diff(heights)
    usual = float(np.quantile(steps, 0.5, method="lower"))  # the shorter of two: one missing slice of four is a gap
    if usual > MAX_SLICE_SPACING_MM + ROUNDING_MM:
        raise SpacingTooLarge(
            found=f"slices {usual:.3g} mm apart",
            expected=f"at most {MAX_SLICE_SPACING_MM:g} mm",
            remedy="Send the reconstruction with thin slices.",
        )
    jitter = min(MAX_SPACING_JITTER_MM, MAX_SPACING_JITTER * usual) + ROUNDING_MM
    uneven = np.flatnonzero(np.abs(steps - usual) > jitter)
    if not uneven.size:
        return
    gaps = uneven[steps[uneven] >= GAP_STEPS * usual]
    first = int(gaps[0] if gaps.size else uneven[0])
    place = f"the first of {steps[first]:.3g} mm between {_z(positions, first)} and {_z(positions, first + 1)}"
    expected = f"slices {usual:.3g} mm apart as most are, within {jitter:.2g} mm"
    if gaps.size:
        found, remedy = f"{gaps.size} gap(s), {place}", "Send all slices of the series."
        raise MissingSlices(found=found, expected=expected, remedy=remedy)
    found, remedy = f"{uneven.size} uneven distance(s), {place}", "Send one reconstruction with even spacing."
    raise IrregularSpacing(found=found, expected=expected, remedy=remedy)


def _z(positions: Positions, index: int) -> str:
    return f"z = {positions[index, 2]:.2f} mm"
