"""Candidates on slices: generated nodules of known place and size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.candidates import DIAMETERS_MM, MAX_CANDIDATES, Candidate, find_candidates
from app.imaging.ct import CTSlice
from app.imaging.lungs import segment_lungs
from phantoms.lung_volumes import slice_of
from phantoms.slices import CENTRAL_NODULE, LUNG_HU, Disc, chest


def candidates_of(ct_slice: CTSlice) -> tuple[Candidate, ...]:
    return find_candidates(ct_slice, segment_lungs(ct_slice))


def nearest_mm(candidates: tuple[Candidate, ...], point: tuple[float, float], spacing_mm: float) -> float:
    return min((math.dist(c.centre_px, point) * spacing_mm for c in candidates), default=math.inf)


@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 14.0, 24.0, 36.0])
@pytest.mark.parametrize("spacing_mm", [0.7, 1.4])
def test_a_nodule_is_found_with_its_place_and_size(diameter_mm: float, spacing_mm: float) -> None:
    size_px = round(358.4 / spacing_mm)
    nodule = Disc((size_px * 0.29, size_px * 0.47), diameter_mm)
    hu = chest([nodule], size_px=size_px, spacing_mm=spacing_mm)
    candidates = candidates_of(slice_of(hu, (spacing_mm, spacing_mm)))
    assert nearest_mm(candidates, nodule.centre_px, spacing_mm) < 2
    found = min(candidates, key=lambda c: math.dist(c.centre_px, nodule.centre_px))
    assert found.diameter_mm == pytest.approx(diameter_mm, rel=0.45)


@settings(deadline=None, max_examples=25)
@given(
    column=st.floats(66, 90),
    row=st.floats(95, 150),
    diameter_mm=st.floats(5, 30),
    hu=st.sampled_from([-600.0, -300.0, 30.0, 800.0]),
)
def test_any_nodule_in_the_lung_is_found(column: float, row: float, diameter_mm: float, hu: float) -> None:
    candidates = candidates_of(slice_of(chest([Disc((column, row), diameter_mm, hu)])))
    assert nearest_mm(candidates, (column, row), 1.4) < max(2.0, 0.15 * diameter_mm)


def test_a_faint_nodule_is_found_and_an_empty_lung_has_none_inside() -> None:
    ground_glass = Disc(CENTRAL_NODULE.centre_px, 14.0, -600.0)
    assert nearest_mm(candidates_of(slice_of(chest([ground_glass]))), ground_glass.centre_px, 1.4) < 3
    assert nearest_mm(candidates_of(slice_of(chest([]))), ground_glass.centre_px, 1.4) > 20


@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 16.0])
def test_a_nodule_on_the_pleura_is_found(diameter_mm: float) -> None:
    # The lung's outer edge lies 127 mm left of the middle: 37 pixels from the border. A third of it is outside.
    pleural = Disc((36.8 + diameter_mm / 6 / 1.4, 124.0), diameter_mm)
    assert nearest_mm(candidates_of(slice_of(chest([pleural]))), pleural.centre_px, 1.4) < diameter_mm / 2


def test_a_nodule_on_a_vessel_is_found_and_the_vessel_is_not() -> None:
    vessel = [Disc((74.0, 90.0 + k), 4.0, 20.0) for k in range(60)]
    nodule = Disc((76.0, 120.0), 9.0)
    candidates = candidates_of(slice_of(chest([*vessel, nodule])))
    assert nearest_mm(candidates, nodule.centre_px, 1.4) < 3
    along = [c for c in candidates if abs(c.centre_px[0] - 74) < 3 and 95 < c.centre_px[1] < 110]
    strength = max(candidates, key=lambda c: c.response_hu).response_hu
    assert all(c.response_hu < strength / 3 for c in along)


def test_candidates_come_strongest_first_and_apart() -> None:
    nodules = [Disc((74.0, 100.0), 14.0), Disc((74.0, 140.0), 10.0), Disc((178.0, 120.0), 7.0, -400.0)]
    candidates = candidates_of(slice_of(chest(nodules)))
    responses = [c.response_hu for c in candidates]
    assert responses == sorted(responses, reverse=True)
    assert {c.diameter_mm for c in candidates} <= set(DIAMETERS_MM)
    assert all(nearest_mm(candidates, nodule.centre_px, 1.4) < 2 for nodule in nodules)
    for n, one in enumerate(candidates):
        for other in candidates[:n]:
            closest = min(one.diameter_mm, other.diameter_mm) / 2
            assert math.dist(one.centre_px, other.centre_px) * 1.4 > closest - 1e-6


def test_pixels_need_not_be_square() -> None:
    candidates = candidates_of(slice_of(np.repeat(chest(), 2, axis=1), (1.4, 0.7)))
    column, row = CENTRAL_NODULE.centre_px
    offsets_mm = [
        math.hypot((c.centre_px[0] - 2 * column - 0.5) * 0.7, (c.centre_px[1] - row) * 1.4) for c in candidates
    ]
    assert min(offsets_mm) < 2


def test_noise_everywhere_ends_soon() -> None:
    noise = np.random.default_rng(1).choice(np.array([LUNG_HU, 40], np.int16), (512, 512))
    candidates = find_candidates(
        slice_of(np.kron(noise, np.ones((2, 2), np.int16)), (1.5, 1.5)), np.ones((1024, 1024), np.bool_)
    )
    assert len(candidates) == MAX_CANDIDATES
