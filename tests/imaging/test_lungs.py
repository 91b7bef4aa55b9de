"""Lungs of generated chests, where every place is known, and of volumes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.candidates import find_candidates
from app.imaging.lungs import cut_length_mm, distance_to_lung_mm, lung_area_cm2, segment_lungs, survey_lungs
from tests.imaging.lung_volumes import slice_of
from tests.phantoms import AIR_HU, CENTRAL_NODULE, Disc, chest, water

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


@pytest.mark.parametrize(
    ("size_px", "spacing_mm", "work_px"),
    [(512, 0.7, 128), (511, 0.7, 127), (512, 0.9, 164), (1024, 0.35, 128), (256, 1.4, 128), (128, 2.8, 128)],
)
def test_a_survey_finds_the_same_lungs_on_coarser_pixels(size_px: int, spacing_mm: float, work_px: int) -> None:
    ct_slice = slice_of(chest(size_px=size_px, spacing_mm=spacing_mm), (spacing_mm, spacing_mm))
    lungs, shrunken = survey_lungs(ct_slice)
    assert lungs.shape == shrunken.shape == (work_px, work_px)
    whole = segment_lungs(ct_slice)
    assert lung_area_cm2(lungs, ct_slice) == pytest.approx(lung_area_cm2(whole, ct_slice), rel=0.03)
    assert cut_length_mm(lungs, ct_slice, shrunken) == cut_length_mm(whole, ct_slice) == 0
    for share in ((0.5, 0.13), (0.3, 0.5), (0.5, 0.95), (0.02, 0.5)):
        column, row = (at * size_px for at in share)
        found = distance_to_lung_mm(lungs, ct_slice, (column, row))
        # Each is right to within STRIDE_PX pixels of the slice.
        assert found == pytest.approx(distance_to_lung_mm(whole, ct_slice, (column, row)), abs=4 * spacing_mm + 2)


def test_a_survey_of_pixels_that_are_no_squares() -> None:
    ct_slice = slice_of(np.ascontiguousarray(chest(size_px=512, spacing_mm=0.7)[::2]), (1.4, 0.7))
    lungs, _ = survey_lungs(ct_slice)
    assert lung_area_cm2(lungs, ct_slice) == pytest.approx(TRUE_AREA_CM2, rel=0.07)


def test_a_survey_does_not_lose_a_lung_behind_a_thin_wall() -> None:
    along = (np.arange(512) - 255.5) * 0.7
    radius_mm = np.hypot(along[:, None], along)
    hu = np.where(radius_mm < 120, np.where(radius_mm < 118, -850, 40), AIR_HU).astype(np.int16)
    ct_slice = slice_of(hu, (0.7, 0.7))
    assert lung_area_cm2(survey_lungs(ct_slice)[0], ct_slice) == pytest.approx(math.pi * 11.8**2, rel=0.03)


def test_without_lung_a_survey_finds_none() -> None:
    for hu in (water(), np.full((256, 256), AIR_HU, np.int16), np.zeros((32, 32), np.int16)):
        assert not survey_lungs(slice_of(hu))[0].any()
