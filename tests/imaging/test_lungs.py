"""Lungs of generated chests, where every place is known, and of volumes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.imaging.candidates import find_candidates
from app.imaging.lungs import distance_to_lung_mm, is_surely_near_lung, lung_area_cm2, segment_lungs
from phantoms.lung_volumes import slice_of
from phantoms.slices import AIR_HU, CENTRAL_NODULE, Disc, chest, water

TRACHEA_PX, SPINE_PX, RIB_PX = (127, 106), (127, 179), (31, 127)
LEFT_LUNG_PX, RIGHT_LUNG_PX = (90, 100), (178, 124)
TRUE_AREA_CM2 = 2 * math.pi * 5.5 * 7.8


def test_both_lungs_and_nothing_else_are_lung() -> None:
    ct_slice = slice_of(chest())
    lungs = segment_lungs(ct_slice)
    assert all(lungs[row, column] for column, row in (LEFT_LUNG_PX, RIGHT_LUNG_PX))
    assert not any(lungs[row, column] for column, row in (TRACHEA_PX, SPINE_PX, RIB_PX, (2, 2), (127, 124)))
    assert lung_area_cm2(lungs, ct_slice) == pytest.approx(TRUE_AREA_CM2, rel=0.05)


def test_a_nodule_within_is_part_of_the_lung() -> None:
    column, row = map(int, CENTRAL_NODULE.centre_px)
    assert segment_lungs(slice_of(chest()))[row, column]


def test_a_nodule_on_the_pleura_is_kept_by_the_closing() -> None:
    # The lung's outer edge lies 127 mm left of the middle: 37 pixels from the border. Half of the nodule is outside.
    pleural = Disc((39.0, 124.0), 10.0)
    assert segment_lungs(slice_of(chest([pleural])))[124, 41]


@pytest.mark.parametrize(
    "hu",
    [water(), np.full((256, 256), AIR_HU, np.int16), np.full((256, 256), 40, np.int16), np.zeros((32, 32), np.int16)],
    ids=["water", "air", "tissue", "small"],
)
def test_without_lung_there_is_none(hu: NDArray[np.int16]) -> None:
    ct_slice = slice_of(hu)
    lungs = segment_lungs(ct_slice)
    assert lungs.shape == hu.shape
    assert not lungs.any()
    assert find_candidates(ct_slice, lungs) == ()
    assert distance_to_lung_mm(lungs, ct_slice, (10, 10)) == math.inf


def test_bowel_gas_is_no_lung() -> None:
    gas = [Disc((100.0, 124.0), 60.0, AIR_HU), Disc((170.0, 124.0), 40.0, AIR_HU)]
    body = np.where(water() == 0, 40, AIR_HU).astype(np.int16)
    y, x = np.mgrid[:256, :256]
    for disc in gas:
        body[np.hypot(x - disc.centre_px[0], y - disc.centre_px[1]) * 1.4 < disc.diameter_mm / 2] = AIR_HU
    assert not segment_lungs(slice_of(body)).any()


@pytest.mark.parametrize(("size_px", "spacing_mm"), [(128, 2.8), (512, 0.7)])
def test_lungs_do_not_depend_on_the_matrix(size_px: int, spacing_mm: float) -> None:
    ct_slice = slice_of(chest(size_px=size_px, spacing_mm=spacing_mm), (spacing_mm, spacing_mm))
    assert lung_area_cm2(segment_lungs(ct_slice), ct_slice) == pytest.approx(TRUE_AREA_CM2, rel=0.07)


def test_distance_to_lung() -> None:
    ct_slice = slice_of(chest())
    lungs = segment_lungs(ct_slice)
    assert distance_to_lung_mm(lungs, ct_slice, LEFT_LUNG_PX) < 4 * 1.4
    # The body's edge in front is 105 mm from the middle, the lungs' 83 mm.
    assert distance_to_lung_mm(lungs, ct_slice, (76, 127.5 - 105 / 1.4)) == pytest.approx(22, abs=8)


@given(
    at=st.tuples(st.floats(0, 511), st.floats(0, 511)),
    reach_mm=st.floats(1, 60),
    mask_px=st.sampled_from([64, 128, 164, 256, 512]),
)
def test_what_is_surely_near_lung_is_no_further(at: tuple[float, float], reach_mm: float, mask_px: int) -> None:
    ct_slice = slice_of(np.zeros((512, 512), np.int16), (0.7, 0.7))
    lungs = np.zeros((mask_px, mask_px), np.bool_)
    lungs[mask_px // 4 : mask_px // 2, mask_px // 3 : mask_px // 2] = True
    near = is_surely_near_lung(lungs, ct_slice, at, reach_mm)
    distance_mm = distance_to_lung_mm(lungs, ct_slice, at)
    if near:
        assert distance_mm <= reach_mm * (1 + 1e-9)
    elif distance_mm > 0:
        assert distance_mm > reach_mm / math.sqrt(2) * (1 - 1e-9)
