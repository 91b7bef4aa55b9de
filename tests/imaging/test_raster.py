"""Maps and outlines drawn into pixels."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.raster import fill, spread

MAP = np.array([[0.0, 1.0], [0.6, 0.8]], np.float32)


def test_cells_lie_on_the_pixels_they_cover() -> None:
    image = spread([(MAP, (-0.5, -0.5, 7.5, 3.5))], (4, 10), 0.5)
    assert image.dtype == np.float32
    assert image[0, 0] == 0  # constant from the border to the middle of a cell
    assert image[0, 7] == 1
    assert image[0, 1] + image[0, 6] == pytest.approx(1)
    assert (image[:, 8:] == 0.5).all()


def test_map_beyond_the_image_is_cut_and_one_far_away_leaves_nothing() -> None:
    partly = spread([(MAP, (-4.5, -2.5, 3.5, 1.5))], (3, 5), 0.5)
    assert partly[0, 0] == pytest.approx(spread([(MAP, (-0.5, -0.5, 7.5, 3.5))], (4, 10), 0.5)[2, 4])
    assert (spread([(MAP, (100, 100, 120, 120))], (3, 5), 0.5) == 0.5).all()


def test_of_overlapping_maps_the_stronger_counts_in_any_order() -> None:
    weak, strong = np.full((2, 2), 0.6, np.float32), np.full((2, 2), 0.1, np.float32)
    everywhere = (-0.5, -0.5, 3.5, 3.5)
    for maps in ([(weak, everywhere), (strong, everywhere)], [(strong, everywhere), (weak, everywhere)]):
        assert spread(maps, (4, 4), 0.5) == pytest.approx(np.full((4, 4), 0.1))


def test_fill_takes_the_pixels_whose_centre_is_enclosed() -> None:
    mask = fill(np.array([[1.6, 0.6], [6.4, 0.6], [6.4, 4.4], [1.6, 4.4]]), (6, 9))
    assert mask.sum() == 5 * 4
    assert mask[1:5, 2:7].all()


@pytest.mark.parametrize("radius", [2.5, 6.0, 15.3])
def test_fill_neither_gains_nor_loses_area(radius: float) -> None:
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius + (20.3, 18.7)
    assert np.sqrt(fill(circle, (40, 40)).sum() / np.pi) == pytest.approx(radius, abs=0.25)


def test_fill_of_little_and_of_nothing() -> None:
    speck = fill(np.array([[3.2, 2.1]]), (6, 9))
    assert np.argwhere(speck).tolist() == [[2, 3]]  # a nodule smaller than a pixel is one pixel
    assert not fill(np.empty((0, 2)), (6, 9)).any()
    assert not fill(np.array([[20.0, 20.0], [22.0, 20.0], [22.0, 23.0]]), (6, 9)).any()
    beyond = fill(np.array([[-3.0, -3.0], [1.2, -3.0], [1.2, 1.2], [-3.0, 1.2]]), (6, 9))
    assert np.argwhere(beyond).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
