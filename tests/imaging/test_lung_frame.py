"""Sides and heights of places in the lungs."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.ct import CTSlice, Orientation, PointMm, SliceSource
from app.imaging.lung_frame import Location, LungFrame, locate_on_slice, lung_frame
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs

SLICES, SIDE = 20, 400
SPACING_MM = (5.0, 1.0, 1.0)
HEAD_UP = Orientation((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
HEAD_DOWN = Orientation((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))


def volume(orientation: Orientation = HEAD_UP) -> CTVolume:
    """400 columns of 1 mm, the middle of the patient's x at 0."""
    step = 5.0 * orientation.normal[2]
    return CTVolume(
        hu=np.zeros((SLICES, SIDE, SIDE), np.int16),
        spacing_mm=SPACING_MM,
        orientation=orientation,
        positions_mm=tuple((-200.0, 0.0, step * n) for n in range(SLICES)),
        sources=(SliceSource(kind="array", rows=SIDE, columns=SIDE),) * SLICES,
    )


def lungs(columns: tuple[slice, ...], slices: range) -> VolumeLungs:
    masks = np.zeros((SLICES, SIDE, SIDE), np.bool_)
    for part in columns:
        masks[slices.start : slices.stop, 100:300, part] = True
    areas = masks.sum(axis=(1, 2)).astype(np.float64)
    packed = np.packbits(masks.reshape(SLICES, -1), axis=1)
    return VolumeLungs(packed, (SIDE, SIDE), (SIDE, SIDE), areas, np.zeros(SLICES), 1000.0)


BOTH = (slice(50, 170), slice(230, 350))


def at(x_mm: float) -> PointMm:
    return (x_mm, 0.0, 0.0)


@pytest.mark.parametrize(("point", "side"), [(at(-80), "right"), (at(80), "left"), (at(5), None), (None, None)])
def test_the_patients_left_is_where_x_grows(point: PointMm | None, side: str | None) -> None:
    frame = lung_frame(volume(), lungs(BOTH, range(2, 18)), whole=True)
    assert frame.middle_x_mm == pytest.approx(0, abs=1)
    assert frame.locate(point, 5).side == side


@pytest.mark.parametrize(("orientation", "low", "high"), [(HEAD_UP, 2, 17), (HEAD_DOWN, 17, 2)])
def test_height_grows_towards_the_head(orientation: Orientation, low: int, high: int) -> None:
    frame = lung_frame(volume(orientation), lungs(BOTH, range(2, 18)), whole=True)
    assert frame.locate(at(0), low).height == 0
    assert frame.locate(at(0), high).height == 1
    assert frame.locate(at(0), 19 if high > low else 0).height == 1


def test_what_the_scan_does_not_show_is_not_told() -> None:
    one_lung = lung_frame(volume(), lungs((BOTH[0],), range(2, 18)), whole=True)
    assert one_lung.locate(at(-80), 5).side is None
    cut = lung_frame(volume(), lungs(BOTH, range(2, 18)), whole=False)
    assert cut.locate(at(-80), 5) == Location("right", None)
    assert lung_frame(volume(), lungs((), range(0)), whole=True) == LungFrame(None, None)


@pytest.mark.parametrize(
    ("height", "third"),
    [(0, "lower"), (0.33, "lower"), (0.34, "middle"), (0.66, "middle"), (0.67, "upper"), (1, "upper")],
)
def test_thirds_are_of_the_lungs_height(height: float, third: str) -> None:
    assert Location("left", height).third == third
    assert Location("left", None).third is None
    with pytest.raises(ValueError, match="0 to 1"):
        Location("left", height + 1.1)


def a_slice(orientation: Orientation | None) -> CTSlice:
    """Its columns from -200 to 199 mm where they run towards the patient's left, from 200 to -199 where not."""
    first = -200.0 if orientation is None or orientation.row[0] > 0 else 200.0
    hu = np.zeros((SIDE, SIDE), np.float32)
    return CTSlice(
        hu, (1.0, 1.0), SliceSource("array", SIDE, SIDE), orientation, None if orientation is None else at(first)
    )


MIRRORED = Orientation((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("orientation", "side", "assumed"), [(HEAD_UP, "right", False), (MIRRORED, "left", False), (None, "right", True)]
)
def test_the_side_on_one_slice_is_the_patients(orientation: Orientation | None, side: str, assumed: bool) -> None:
    mask = np.zeros((SIDE // 2, SIDE // 2), np.bool_)  # in pixels twice as large
    for part in BOTH:
        mask[50:150, part.start // 2 : part.stop // 2] = True
    ct_slice = a_slice(orientation)
    assert locate_on_slice(ct_slice, mask, (100.0, 200.0)) == Location(side, None, assumed)  # type: ignore[arg-type]  # a laterality
    assert locate_on_slice(ct_slice, mask, (199.0, 200.0)) == Location()
    mask[:, SIDE // 4 :] = False
    assert locate_on_slice(ct_slice, mask, (100.0, 200.0)) == Location()
    assert locate_on_slice(ct_slice, mask & False, (100.0, 200.0)) == Location()
