"""The tiles show what surrounds a finding at its true size, and where in the body it lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from app.explain.marks import draw_sides
from app.explain.tiles import MIN_SIDE_MM, Crop, draw_tiles, locator_of
from app.explain.window import LUNG, MEDIASTINUM
from app.imaging.ct import AIR_HU, Orientation, PointMm, SliceSource
from app.imaging.volume import CTVolume
from app.inference.model import Model
from app.inference.prediction import Finding, SliceRef
from tests.explain.planted import NODULE_MM, plant, point_at

SPACINGS: Final = [(0.7, 0.7), (1.1, 0.6)]
SIDE_PX: Final = 300
SLICES, ROWS, COLUMNS = 20, 40, 60
AXIAL: Final = Orientation((1, 0, 0), (0, 1, 0))
UPSIDE_DOWN: Final = Orientation((1, 0, 0), (0, -1, 0))  # its normal points to the feet


def found(model: Model, spacing_mm: tuple[float, float]) -> Finding:
    """The planted nodule, with its own middle."""
    planted = plant(spacing_mm)
    (finding,) = point_at(planted, model).findings
    return replace(finding, center_px=planted.nodule_px)


def orange(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return rgb[..., 0].astype(np.int16) - rgb[..., 2] > 100


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_a_crop_shows_a_round_nodule_round_and_at_its_size(model: Model, spacing_mm: tuple[float, float]) -> None:
    finding, ct_slice = found(model, spacing_mm), plant(spacing_mm).ct_slice
    crop = Crop.around(finding, ct_slice, SIDE_PX)
    assert crop.side_mm == MIN_SIDE_MM
    bright = crop.cut(ct_slice, MEDIASTINUM)[..., 0] > 128
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    across, down = np.ptp(columns) / crop.per_mm, np.ptp(rows) / crop.per_mm
    assert (across, down) == pytest.approx((NODULE_MM, NODULE_MM), abs=max(spacing_mm))
    middle = np.array([columns.mean(), rows.mean()])
    assert crop.to_picture(np.array([finding.center_px]))[0] == pytest.approx((149.5, 149.5))
    assert middle == pytest.approx((149.5, 149.5), abs=max(spacing_mm) * crop.per_mm)


def test_beyond_the_image_a_crop_is_air(model: Model) -> None:
    ct_slice = plant().ct_slice
    corner = replace(found(model, (0.7, 0.7)), center_px=(0.0, 0.0))
    tile = Crop.around(corner, ct_slice, SIDE_PX).cut(ct_slice, LUNG)
    air = LUNG.grey(np.array([[AIR_HU]], np.float32))
    assert (tile[: SIDE_PX // 3, : SIDE_PX // 3] == air).all()
    assert (tile[SIDE_PX * 2 // 3 :, SIDE_PX * 2 // 3 :] > air).all()


def test_windows_are_those_of_a_radiologist() -> None:
    hu = np.array([[-1350.0, -600.0, 150.0]], np.float32)
    assert LUNG.grey(hu).tolist() == [[0, 128, 255]]
    assert MEDIASTINUM.grey(np.array([[-160.0, 40.0, 240.0]], np.float32)).tolist() == [[0, 128, 255]]


def volume(orientation: Orientation) -> CTVolume:
    """Lung with something dense on slice 15, columns 40 to 44."""
    hu = np.full((SLICES, ROWS, COLUMNS), -700, np.int16)
    hu[15, :, 40:44] = 3000
    down = orientation.normal[2]
    positions: list[PointMm] = [(0.0, 0.0, down * 2.0 * n) for n in range(SLICES)]
    source = SliceSource("dicom", ROWS, COLUMNS)
    return CTVolume(hu, (2.0, 1.0, 1.0), orientation, tuple(positions), (source,) * SLICES)


@pytest.mark.parametrize("orientation", [AXIAL, UPSIDE_DOWN])
def test_the_locator_shows_the_body_from_the_front_with_its_head_up(orientation: Orientation) -> None:
    locator = locator_of(volume(orientation))
    rows, columns = locator.grey.shape
    assert columns * locator.pixel_mm == COLUMNS
    assert rows * locator.pixel_mm == SLICES * 2.0
    bright = np.argwhere(locator.grey == locator.grey.max()).mean(axis=0)
    column, row = locator.at(41.5, 15)
    assert bright == pytest.approx((row - 0.5, column - 0.5), abs=1)
    higher = orientation.normal[2] > 0  # whether slice 15 of 20 is nearer to the head
    assert (row < rows / 2) == higher


def test_a_line_stands_at_the_slice_and_a_dot_at_the_finding(model: Model) -> None:
    finding = replace(found(model, (0.7, 0.7)), center_px=(41.5, 20.0))
    locator = locator_of(volume(AXIAL))
    ref = SliceRef(15, None)
    shown = volume(AXIAL).slice_at(15)
    with_dot = draw_tiles(shown, finding, width_px=908, language="en", slice_ref=ref, locator=locator)
    alone = draw_tiles(shown, None, width_px=908, language="en", slice_ref=ref, locator=locator)
    front = alone[:, :300]
    coloured = orange(front)
    (row,) = {int(row) for row in np.flatnonzero(coloured.sum(axis=1) > 100)}
    assert row == pytest.approx(4 + 50 + locator.at(0, 15)[1] * 10, abs=1.5)
    dotted = orange(with_dot[:, 608:])
    assert dotted.sum() > coloured.sum()
    assert np.argwhere(dotted & ~coloured)[:, 1].mean() == pytest.approx(locator.at(41.5, 15)[0] * 10, abs=5)


def test_of_a_slice_alone_a_frame_shows_what_the_tiles_show(model: Model) -> None:
    planted = plant()
    row = draw_tiles(planted.ct_slice, found(model, (0.7, 0.7)), width_px=908, language="zh")
    framed = np.argwhere(orange(row[:, 608:]))
    width_mm = np.ptp(framed[:, 1]) / 300 * 140
    assert width_mm == pytest.approx(MIN_SIDE_MM, abs=1.5)


def test_without_a_finding_or_a_series_there_are_no_tiles() -> None:
    assert draw_tiles(plant().ct_slice, None, width_px=908, language="en").shape == (0, 908, 3)


def test_letters_may_stand_higher_than_the_middle() -> None:
    rgb = np.zeros((200, 300, 3), np.uint8)
    draw_sides(rgb, AXIAL, 13, row=0.15)
    assert rgb[:60].any()
    assert not rgb[80:].any()
