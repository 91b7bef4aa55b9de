"""A planted nodule lies where it was put, looks like its source, and leaves no ring."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, SliceSource
from benchmarks.planting import find_place, graft, plant, wall_share
from training.data.nodules import UNRATED_TRAITS, Nodule

LUNG_HU, NODULE_HU = -860.0, 30.0
PLACE = (60, 45)


def nodule(*, spacing_mm: float = 0.7, radius_mm: float = 5.0, wall: bool = False, lung_hu: float = LUNG_HU) -> Nodule:
    y, x = (np.mgrid[:71, :71] - 35) * spacing_mm
    radius = np.hypot(x, y)
    hu = lung_hu + (NODULE_HU - lung_hu) / (1 + np.exp((radius - radius_mm) / 0.3))
    if wall:
        hu = np.where(x > radius_mm - 1, 40, hu)
    hu = hu + np.random.default_rng(3).normal(0, 5, hu.shape)
    return Nodule(
        nodule_id=1, patient="P", fold=0, series_uid="", sop_uid="", manufacturer="", spacing_mm=spacing_mm,
        diameter_mm=2 * radius_mm, point_px=(100, 100), malignancy=(3,), traits=UNRATED_TRAITS,
        hu=hu.astype(np.int16), outline=radius <= radius_mm,
    )  # fmt: skip


def lung(noise_hu: float = 5.0, spacing_mm: float = 0.5, level_hu: float = -800.0) -> CTSlice:
    hu = np.random.default_rng(4).normal(level_hu, noise_hu, (100, 120)).astype(np.float32)
    return CTSlice(hu, (spacing_mm, spacing_mm), SliceSource("array", 100, 120))


def area_mm2(ct_slice: CTSlice) -> float:
    return float((ct_slice.hu > -400).sum()) * ct_slice.spacing_mm[0] ** 2


@pytest.mark.parametrize("spacing_mm", [0.5, 0.7, 0.9])
def test_size_and_place_are_kept_in_mm(spacing_mm: float) -> None:
    planted = plant(lung(spacing_mm=spacing_mm), graft(nodule(), spacing_mm), PLACE)
    rows, columns = np.nonzero(planted.hu > -400)
    assert (columns.mean(), rows.mean()) == pytest.approx(PLACE, abs=0.2)
    assert area_mm2(planted) == pytest.approx(np.pi * 5.0**2, rel=0.05)


def test_tissue_keeps_its_density_and_lung_takes_that_of_the_place() -> None:
    under = lung(level_hu=-780)
    planted = plant(under, graft(nodule(), 0.5), PLACE)
    distance_mm = radius_mm(planted)
    assert planted.hu[distance_mm < 3].mean() == pytest.approx(NODULE_HU, abs=5)
    for inner, outer in ((6.4, 7.0), (7.0, 8.0), (8.0, 9.0)):
        ring = (distance_mm >= inner) & (distance_mm < outer)
        assert planted.hu[ring].mean() == pytest.approx(-780, abs=8)


def test_beyond_the_feather_nothing_changes() -> None:
    under = lung()
    planted = plant(under, graft(nodule(), 0.5), PLACE)
    far = radius_mm(planted) > 5 + 1.5 + 2.0 + 1.0
    np.testing.assert_array_equal(planted.hu[far], under.hu[far])
    assert not np.shares_memory(planted.hu, under.hu)


def test_the_places_noise_is_made_up_for() -> None:
    planted = plant(lung(noise_hu=40), graft(nodule(), 0.5), PLACE)
    distance_mm = radius_mm(planted)
    inside, outside = planted.hu[distance_mm < 4], planted.hu[(distance_mm > 12) & (distance_mm < 16)]
    assert inside.std() == pytest.approx(outside.std(), rel=0.3)


def test_a_nodule_on_the_wall_is_told_from_a_free_one() -> None:
    assert wall_share(nodule()) < 0.05
    assert wall_share(nodule(wall=True)) > 0.2


def test_a_place_is_free_of_vessels_and_wholly_allowed() -> None:
    hu = lung().hu.copy()
    hu[:, :60] = 40
    ct_slice = CTSlice(hu, (0.5, 0.5), SliceSource("array", 100, 120))
    allowed = np.zeros(hu.shape, np.bool_)
    allowed[10:90, 10:115] = True
    grafted = graft(nodule(radius_mm=3), 0.5)
    for seed in range(5):
        place = find_place(grafted, ct_slice, allowed, np.random.default_rng(seed))
        assert place is not None
        column, row = place
        rows, columns = np.nonzero(grafted.weight > 0)
        half = grafted.weight.shape[0] // 2
        assert allowed[rows - half + row, columns - half + column].all()
        assert (hu[rows - half + row, columns - half + column] > -500).mean() <= 0.05


def test_no_room_is_no_place() -> None:
    allowed = np.zeros((100, 120), np.bool_)
    allowed[40:50, 40:50] = True
    assert find_place(graft(nodule(), 0.5), lung(), allowed, np.random.default_rng(0)) is None


def radius_mm(planted: CTSlice) -> NDArray[np.float64]:
    rows, columns = np.indices(planted.hu.shape)
    return np.asarray(np.hypot(columns - PLACE[0], rows - PLACE[1]) * planted.spacing_mm[0], np.float64)
