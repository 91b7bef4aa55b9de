"""A slice as a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.ct import AIR_HU
from app.imaging.thumbnail import thumbnail
from phantoms.slices import chest


@pytest.mark.parametrize(("rows", "columns"), [(512, 512), (48, 48), (32, 700)])
def test_it_is_square_and_float32(rows: int, columns: int) -> None:
    small = thumbnail(np.full((rows, columns), 40, np.int16), (0.7, 0.7), 48)
    assert small.shape == (48, 48)
    assert small.dtype == np.float32


def test_a_flat_picture_lies_in_the_middle_of_air() -> None:
    small = thumbnail(np.full((100, 200), 40, np.int16), (1.0, 1.0), 48)
    assert np.allclose(small[12:36], 40)
    assert (small[:12] == AIR_HU).all()
    assert (small[36:] == AIR_HU).all()


def test_pixels_are_square_whatever_those_of_the_slice() -> None:
    thick = thumbnail(np.full((50, 200), 40, np.int16), (4.0, 1.0), 48)
    assert np.allclose(thick, 40)


def test_a_finer_matrix_of_the_same_chest_looks_the_same() -> None:
    coarse = thumbnail(chest([]), (1.4, 1.4), 48)
    fine = thumbnail(chest([], size_px=512, spacing_mm=0.7), (0.7, 0.7), 48)
    assert float(np.abs(coarse - fine).mean()) < 25
