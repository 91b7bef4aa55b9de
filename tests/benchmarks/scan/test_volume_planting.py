"""A planted nodule lies where it was put, as large as asked for, and changes nothing beyond its blend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.scan.cubes import SIDE_VX, Cube
from benchmarks.scan.room import Room
from benchmarks.scan.volume_planting import Spacing, graft_cube, plant_cube
from phantoms.lung_volumes import chest_volume
from tests.benchmarks.test_planting import nodule
from training.data.scans import Scan

LUNG_HU, NODULE_HU, WALL_HU = -800, 30, 60
SPACING_MM: Spacing = (2.5, 0.7, 0.7)
PLACE = (16, 50, 60)
REACH_MM = 1.5 + 2.0 + 2.5  # dilation, feather, and a slice


def cube(radius_mm: float = 6.0, *, wall: bool = False) -> Cube:
    distance = np.linalg.norm(np.indices((SIDE_VX,) * 3) - SIDE_VX // 2, axis=0)
    hu = np.where(distance <= radius_mm, NODULE_HU, -860)
    if wall:
        hu[:, :, SIDE_VX // 2 + round(radius_mm) :] = WALL_HU
    return Cube(nodule(radius_mm=radius_mm), hu.astype(np.int16), distance <= radius_mm)


def lung() -> NDArray[np.int16]:
    noise = np.random.default_rng(5).normal(0, 8, (32, 100, 120))
    return np.rint(LUNG_HU + noise).astype(np.int16)


def distance_mm(shape: tuple[int, ...]) -> NDArray[np.float64]:
    offsets = (np.indices(shape) - np.reshape(PLACE, (3, 1, 1, 1))) * np.reshape(SPACING_MM, (3, 1, 1, 1))
    return np.asarray(np.linalg.norm(offsets, axis=0))


@pytest.mark.parametrize("enlarged", [1.0, 2.0])
def test_it_lies_at_its_place_in_its_size(enlarged: float) -> None:
    planted = plant_cube(lung(), graft_cube(cube(), SPACING_MM, enlarged), PLACE)
    inside = planted > -400
    assert np.mean(np.nonzero(inside), axis=1) == pytest.approx(PLACE, abs=0.4)
    diameter_mm = (6 * inside.sum() * np.prod(SPACING_MM) / np.pi) ** (1 / 3)
    assert diameter_mm == pytest.approx(12 * enlarged, rel=0.1)


def test_beyond_the_blend_the_scan_stays_as_it_is() -> None:
    under = lung()
    planted = plant_cube(under, graft_cube(cube(), SPACING_MM), PLACE)
    beyond = distance_mm(under.shape) > 6 + REACH_MM
    np.testing.assert_array_equal(planted[beyond], under[beyond])
    assert not np.shares_memory(planted, under)


def test_its_tissue_keeps_its_density_and_lung_that_of_the_place() -> None:
    planted = plant_cube(lung(), graft_cube(cube(), SPACING_MM), PLACE)
    distance = distance_mm(planted.shape)
    assert planted[distance < 3].mean() == pytest.approx(NODULE_HU, abs=10)
    assert planted[(distance > 11) & (distance < 13)].mean() == pytest.approx(LUNG_HU, abs=5)


def test_a_wall_is_not_eaten_by_what_is_planted_on_it() -> None:
    under = lung()
    under[:, :, 66:] = WALL_HU
    planted = plant_cube(under, graft_cube(cube(), SPACING_MM), PLACE)
    assert (planted[:, :, 66:] >= WALL_HU).all()
    assert planted[PLACE] > -100


def test_wall_around_a_source_is_told() -> None:
    assert graft_cube(cube(), SPACING_MM).wall < 0.02
    assert graft_cube(cube(wall=True), SPACING_MM).wall > 0.1


def test_a_graft_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        plant_cube(lung(), graft_cube(cube(), SPACING_MM), (1, 50, 60))


def test_an_outline_at_the_cubes_side_is_told() -> None:
    assert cube().is_whole
    assert not cube(radius_mm=23).is_whole


@pytest.fixture(scope="module")
def room() -> Room:
    return Room.of(Scan("chest", chest_volume(), np.zeros((0, 4))))


def test_free_places_lie_in_lung(room: Room) -> None:
    graft = graft_cube(cube(), room.scan.volume.spacing_mm)
    places = list(room.free_places(graft.weight > 0, 6, np.random.default_rng(1)))
    assert places
    hu = room.scan.volume.hu
    for place in places:
        planted = plant_cube(hu, graft, place)
        assert (hu[planted != hu] < -500).all()


def test_wall_places_touch_both(room: Room) -> None:
    graft = graft_cube(cube(), room.scan.volume.spacing_mm)
    hu = room.scan.volume.hu
    places = list(room.wall_places(graft.core, 6, np.random.default_rng(1)))
    assert places
    for place in places:
        window = tuple(slice(p - h, p + h + 1) for p, h in zip(place, graft.half, strict=True))
        share = float((hu[window][graft.core] < -500).mean())
        assert 0.4 <= share <= 0.85


def test_places_keep_away_from_what_is_known(room: Room) -> None:
    volume = room.scan.volume
    x, y, z = volume.to_patient_mm(30, (80.0, 128.0))
    known = replace(room, scan=Scan("chest", volume, np.array([[x, y, z, 10.0]])))
    graft = graft_cube(cube(), volume.spacing_mm)
    places = list(known.free_places(graft.weight > 0, 6, np.random.default_rng(1)))
    assert places
    for place in places:
        assert np.linalg.norm(known.patient_mm(place) - (x, y, z)) >= 10 + 25 + 6
