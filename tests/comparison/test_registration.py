"""A motion that is known is found again, on lungs of arithmetic."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import pytest

from app.comparison.lung_shape import LungShape, Matrix, moved
from app.comparison.registration import align
from tests.comparison.lungs import lungs_at, pose

STILL: Final = pose((0, 0, 0), (0, 0, 0))
# Places in the lungs, at which a nodule may lie: apex, middle, base, on both sides.
PLACES: Final = np.array([[x, y, z] for x in (-95.0, -60.0, 80.0) for y in (-40.0, 40.0) for z in (-80.0, 0.0, 80.0)])


@pytest.fixture(scope="module")
def still() -> LungShape:
    return lungs_at(STILL)


def errors_mm(found: Matrix, wanted: Matrix) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How far places in the lungs are put beside where they lie."""
    return np.asarray(np.linalg.norm(moved(found, PLACES) - moved(wanted, PLACES), axis=1))


@pytest.mark.parametrize(
    ("rotation_deg", "shift_mm"),
    [((0, 0, 0), (0, 0, 0)), ((0, 0, 0), (7.3, -11.9, 23.1)), ((4, -3, 6), (-12.0, 5.5, -31.0))],
    ids=["still", "shifted", "turned and shifted"],
)
@pytest.mark.parametrize("spacing_mm", [(4.0, 4.0, 4.0), (3.0, 4.5, 4.5)], ids=["same voxels", "other voxels"])
def test_a_known_motion_is_found_within_half_a_voxel(
    still: LungShape,
    rotation_deg: tuple[float, float, float],
    shift_mm: tuple[float, float, float],
    spacing_mm: tuple[float, float, float],
) -> None:
    wanted = pose(rotation_deg, shift_mm)
    found = align(still, lungs_at(wanted, spacing_mm))
    assert errors_mm(found.matrix, wanted).max() < min(spacing_mm) / 2
    assert found.is_good
    assert found.overlap > 0.95
    assert found.rotation_deg == pytest.approx(float(np.linalg.norm(rotation_deg)), abs=0.5)


def test_there_and_back_is_the_same_place(still: LungShape) -> None:
    found = align(still, lungs_at(pose((4, -3, 6), (-12.0, 5.5, -31.0))))
    assert found.to_prior(found.to_current((-75.0, 10.0, 40.0))) == pytest.approx((-75.0, 10.0, 40.0))


def test_a_scan_of_a_part_is_laid_over_the_part() -> None:
    """The lower half, as at the top of an abdomen."""
    wanted = pose((2, 0, 3), (6.0, -4.0, 14.0))
    found = align(lungs_at(STILL, heights_mm=(-180, 0)), lungs_at(wanted))
    assert errors_mm(found.matrix, wanted).max() < 3
    assert found.is_good


def test_a_breath_moves_the_rest_little(still: LungShape) -> None:
    """The lower quarter is pushed up by 15 mm: the middle and the top stay within a voxel."""
    below = still.to_mm[2, 3] + still.to_mm[2, 0] * np.arange(len(still.mask)) < -50
    mask = still.mask.copy()
    mask[below] = np.roll(still.mask, 4, axis=0)[below]
    found = align(still, LungShape(mask, still.to_mm))
    upper = PLACES[PLACES[:, 2] > -50]
    assert np.linalg.norm(moved(found.matrix, upper) - upper, axis=1).max() < 3


def test_what_are_no_lungs_of_the_same_patient_do_not_fit(still: LungShape) -> None:
    ball = partial(np.linalg.norm, axis=1)
    places = moved(still.to_mm, np.indices(still.mask.shape).reshape(3, -1).T.astype(np.float64))
    other = LungShape(np.asarray(ball(places) <= 60).reshape(still.mask.shape), still.to_mm)
    assert not align(still, other).is_good
