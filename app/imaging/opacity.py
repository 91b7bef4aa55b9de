"""Whether part of a lung is so dense that a mass could hide in it. Every check returns its reasons, with the place.

Each bars `normal`: what cannot be seen through was not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.imaging.aeration import AERATED_HU, Side, SidesAt
from app.imaging.ct import PointPx, QualityNote

MIN_OPAQUE_CM2: Final = 8.0  # between lung and ribs; the section of a mass of 32 mm
MIN_OPAQUE_ML: Final = 75.0  # in a series; a mass of 52 mm
MIN_LEVEL_CM2: Final = 45.0  # of the larger lung; at the apices and in the recesses the ribs are not the lung's wall
MIN_COMPARED_CM2: Final = 70.0  # of the larger lung, where the smaller is held against it
MIN_COMPARED_ML: Final = 500.0  # as much in a series
MIN_SIDE_SHARE: Final = 0.55  # of the larger lung; the heart takes more of the left one
MAX_DENSE_SHARE: Final = 0.2  # of a lung; vessels, and what its weight presses together
MIN_DENSE_CM2: Final = 10.0
MIN_DENSE_ML: Final = 100.0  # as much in a series
MAX_SIDES_HU: Final = 75.0  # between the medians of two lungs
MIN_MEDIAN_CM2: Final = 20.0  # of each, for their medians to be compared
RIGHT, LEFT = "right lung", "left lung"

Opacity = tuple[str, PointPx]


def check_sides(right: Side, left: Side) -> tuple[QualityNote, ...]:
    """Whether each lung of a slice is aerated as far as the ribs, and as the other is."""
    found = ((name, _opacity(side, other)) for name, side, other in ((RIGHT, right, left), (LEFT, left, right)))
    return tuple(_note(name, what, place, "") for name, opacity in found if opacity for what, place in (opacity,))


def check_volume_sides(sides: Sequence[SidesAt]) -> tuple[QualityNote, ...]:
    """As `check_sides` for a series, by volumes; the place is on the slice that shows most of it."""
    right, left = [at.right for at in sides], [at.left for at in sides]
    notes = []
    for name, own, others in ((RIGHT, right, left), (LEFT, left, right)):
        if opacity := _volume_opacity(sides, own, others):
            what, worst, place = opacity
            notes.append(_note(name, what, place, f" of slice {sides[worst].slice_index}"))
    return tuple(notes)


def _note(name: str, what: str, place: PointPx, on: str) -> QualityNote:
    column, row = place
    message = f"Part of the {name} may be opaque, around column {column:.0f}, row {row:.0f}{on}: {what}."
    return QualityNote("opacified_lung", "warning", message, bars_normal=True)


def _opacity(side: Side, other: Side) -> Opacity | None:
    """What makes a lung opaque, and where; the surest sign of several."""
    if max(side.aerated_cm2, other.aerated_cm2) >= MIN_LEVEL_CM2 and side.opaque_cm2 >= MIN_OPAQUE_CM2:
        return f"{side.opaque_cm2:.0f} cm² between it and the ribs hold no air", side.opaque_px
    if other.aerated_cm2 >= MIN_COMPARED_CM2 and side.aerated_cm2 < MIN_SIDE_SHARE * other.aerated_cm2:
        what = f"{side.aerated_cm2:.0f} cm² of it are aerated, of the other {other.aerated_cm2:.0f} cm²"
        return what, side.mirrored_px
    if side.dense_cm2 >= MIN_DENSE_CM2 and side.dense_share >= MAX_DENSE_SHARE:
        return _dense(side.dense_share, f"{side.dense_cm2:.0f} cm²"), side.dense_px
    if min(side.aerated_cm2, other.aerated_cm2) >= MIN_MEDIAN_CM2:
        return _denser(side.median_hu, other.median_hu, side.dense_px)
    return None


def _dense(share: float, much: str) -> str:
    return f"{share:.0%} of it ({much}) are denser than {AERATED_HU:g} HU"


def _denser(median_hu: float | None, other_hu: float | None, place: PointPx) -> Opacity | None:
    if median_hu is None or other_hu is None or median_hu - other_hu < MAX_SIDES_HU:
        return None
    return f"its median is {median_hu:.0f} HU, the other's {other_hu:.0f} HU", place


def _volume_opacity(
    sides: Sequence[SidesAt], own: Sequence[Side], others: Sequence[Side]
) -> tuple[str, int, PointPx] | None:
    """As `_opacity`, with the number of the slice it shows on most."""
    if not sides:
        return None
    pairs = list(zip(own, others, strict=True))
    level = [max(side.aerated_cm2, other.aerated_cm2) >= MIN_LEVEL_CM2 for side, other in pairs]
    opaque = [side.opaque_cm2 * at_level for side, at_level in zip(own, level, strict=True)]
    lost = [other.aerated_cm2 - side.aerated_cm2 for side, other in pairs]
    dense = [side.dense_cm2 for side in own]
    aerated_ml, other_ml = (_ml(sides, [side.aerated_cm2 for side in all_of]) for all_of in (own, others))
    opaque_ml, dense_ml = _ml(sides, opaque), _ml(sides, dense)
    worst = int(np.argmax(dense))
    if opaque_ml >= MIN_OPAQUE_ML:
        worst = int(np.argmax(opaque))
        return f"{opaque_ml:.0f} ml between it and the ribs hold no air", worst, own[worst].opaque_px
    if other_ml >= MIN_COMPARED_ML and aerated_ml < MIN_SIDE_SHARE * other_ml:
        worst = int(np.argmax(lost))
        what = f"{aerated_ml / 1000:.1f} l of it are aerated, of the other {other_ml / 1000:.1f} l"
        return what, worst, own[worst].mirrored_px
    share = dense_ml / max(dense_ml + aerated_ml, 1.0)
    if dense_ml >= MIN_DENSE_ML and share >= MAX_DENSE_SHARE:
        return _dense(share, f"{dense_ml:.0f} ml"), worst, own[worst].dense_px
    medians = (_median_hu(pairs), _median_hu([(other, side) for side, other in pairs]))
    denser = _denser(*medians, own[worst].dense_px)
    return (denser[0], worst, denser[1]) if denser else None


def _ml(sides: Sequence[SidesAt], areas_cm2: Sequence[float]) -> float:
    return sum(area * at.height_mm / 10 for area, at in zip(areas_cm2, sides, strict=True))


def _median_hu(pairs: Sequence[tuple[Side, Side]]) -> float | None:
    """Of the first of each pair: the median over the slices that show enough of both lungs."""
    large = (side for side, other in pairs if min(side.aerated_cm2, other.aerated_cm2) >= MIN_MEDIAN_CM2)
    values = [side.median_hu for side in large if side.median_hu is not None]
    return float(np.median(values)) if values else None
