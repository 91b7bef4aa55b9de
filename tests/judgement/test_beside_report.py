"""A report beside a series: sides, heights and what the answer says. Every report here was written for these tests."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.ct import Orientation, SliceSource
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs
from app.inference.prediction import Evidence, Finding, SliceRef
from app.judgement.beside_report import LungFrame, lung_frame

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


def finding(x_mm: float | None, index: int) -> Finding:
    centre = None if x_mm is None else (x_mm, 0.0, 0.0)
    nothing = Evidence(np.zeros((1, 1), np.float32), (0, 0, 1, 1))
    return Finding(
        1, (0.0, 0.0), centre, 1.0, 0.5, 8.0, 8.0, (), np.zeros((0, 2)), nothing, slice=SliceRef(index, None)
    )


@pytest.mark.parametrize(("x_mm", "side"), [(-80.0, "right"), (80.0, "left"), (5.0, None), (None, None)])
def test_the_patients_left_is_where_x_grows(x_mm: float | None, side: str | None) -> None:
    frame = lung_frame(volume(), lungs(BOTH, range(2, 18)), whole=True)
    assert frame.middle_x_mm == pytest.approx(0, abs=1)
    assert frame.place(finding(x_mm, 5)).side == side


@pytest.mark.parametrize(("orientation", "low", "high"), [(HEAD_UP, 2, 17), (HEAD_DOWN, 17, 2)])
def test_height_grows_towards_the_head(orientation: Orientation, low: int, high: int) -> None:
    frame = lung_frame(volume(orientation), lungs(BOTH, range(2, 18)), whole=True)
    assert frame.place(finding(0, low)).height == 0
    assert frame.place(finding(0, high)).height == 1
    assert frame.place(finding(0, 19 if high > low else 0)).height == 1


def test_what_the_scan_does_not_show_is_not_told() -> None:
    one_lung = lung_frame(volume(), lungs((BOTH[0],), range(2, 18)), whole=True)
    assert one_lung.place(finding(-80, 5)).side is None
    cut = lung_frame(volume(), lungs(BOTH, range(2, 18)), whole=False)
    assert (cut.place(finding(-80, 5)).side, cut.place(finding(-80, 5)).height) == ("right", None)
    assert lung_frame(volume(), lungs((), range(0)), whole=True) == LungFrame(None, None)
