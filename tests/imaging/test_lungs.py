"""Lungs and candidates on generated chests, where every place is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.candidates import MAX_CANDIDATES, Candidate, find_candidates
from app.imaging.ct import CTSlice, SliceSource
from app.imaging.lungs import distance_to_lung_mm, lung_area_cm2, segment_lungs
from tests.phantoms import AIR_HU, CENTRAL_NODULE, LUNG_HU, Disc, chest, water

TRACHEA_PX, SPINE_PX, RIB_PX = (127, 106), (127, 179), (31, 127)
LEFT_LUNG_PX, RIGHT_LUNG_PX = (90, 100), (178, 124)
TRUE_AREA_CM2 = 2 * math.pi * 5.5 * 7.8


def slice_of(hu: NDArray[np.int16], spacing_mm: tuple[float, float] = (1.4, 1.4)) -> CTSlice:
    rows, columns = hu.shape
    return CTSlice(hu.astype(np.float32), spacing_mm, SliceSource("array", rows, columns))


def candidates_of(ct_slice: CTSlice) -> tuple[Candidate, ...]:
    return find_candidates(ct_slice, segment_lungs(ct_slice))


def nearest_mm(candidates: tuple[Candidate, ...], point: tuple[float, float], spacing_mm: float) -> float:
    return min((math.dist(c.centre_px, point) * spacing_mm for c in candidates), default=math.inf)


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
    ct_slice = slice_of(chest([pleural]))
    assert segment_lungs(ct_slice)[124, 41]
    assert nearest_mm(candidates_of(ct_slice), pleural.centre_px, 1.4) < 5


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


def test_noise_everywhere_ends_soon() -> None:
    noise = np.random.default_rng(1).choice(np.array([LUNG_HU, 40], np.int16), (512, 512))
    candidates = candidates_of(slice_of(np.kron(noise, np.ones((2, 2), np.int16)), (1.5, 1.5)))
    assert len(candidates) <= MAX_CANDIDATES


def test_distance_to_lung() -> None:
    ct_slice = slice_of(chest())
    lungs = segment_lungs(ct_slice)
    assert distance_to_lung_mm(lungs, ct_slice, LEFT_LUNG_PX) < 4 * 1.4
    # The body's edge in front is 105 mm from the middle, the lungs' 83 mm.
    assert distance_to_lung_mm(lungs, ct_slice, (76, 127.5 - 105 / 1.4)) == pytest.approx(22, abs=8)


@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 14.0, 24.0])
@pytest.mark.parametrize("spacing_mm", [0.7, 1.4])
def test_a_nodule_is_found_with_its_place_and_size(diameter_mm: float, spacing_mm: float) -> None:
    size_px = round(358.4 / spacing_mm)
    nodule = Disc((size_px * 0.29, size_px * 0.47), diameter_mm)
    hu = chest([nodule], size_px=size_px, spacing_mm=spacing_mm)
    candidates = candidates_of(slice_of(hu, (spacing_mm, spacing_mm)))
    assert nearest_mm(candidates, nodule.centre_px, spacing_mm) < 1.5
    found = min(candidates, key=lambda c: math.dist(c.centre_px, nodule.centre_px))
    assert found.diameter_mm == pytest.approx(diameter_mm, rel=0.45)


def test_a_faint_nodule_is_found_and_an_empty_lung_has_none_inside() -> None:
    ground_glass = Disc(CENTRAL_NODULE.centre_px, 14.0, -600.0)
    assert nearest_mm(candidates_of(slice_of(chest([ground_glass]))), ground_glass.centre_px, 1.4) < 3
    assert nearest_mm(candidates_of(slice_of(chest([]))), ground_glass.centre_px, 1.4) > 20


def test_candidates_come_strongest_first_and_apart() -> None:
    nodules = [Disc((74.0, 100.0), 14.0), Disc((74.0, 140.0), 10.0), Disc((178.0, 120.0), 7.0, -400.0)]
    candidates = candidates_of(slice_of(chest(nodules)))
    responses = [c.response_hu for c in candidates]
    assert responses == sorted(responses, reverse=True)
    assert all(nearest_mm(candidates, nodule.centre_px, 1.4) < 2 for nodule in nodules)
    for n, one in enumerate(candidates):
        assert all(math.dist(one.centre_px, o.centre_px) * 1.4 > o.diameter_mm / 2 - 2 for o in candidates[:n])


def test_pixels_need_not_be_square() -> None:
    hu = chest()
    stretched = np.repeat(hu, 2, axis=1)
    candidates = candidates_of(slice_of(stretched, (1.4, 0.7)))
    column, row = CENTRAL_NODULE.centre_px
    assert (
        min(math.hypot((c.centre_px[0] - 2 * column - 0.5) * 0.7, (c.centre_px[1] - row) * 1.4) for c in candidates) < 2
    )
