"""Where the evidence peaks, and what the patch loses with its brightest places: maps whose answer is arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.evaluation.hand_made import answers, study_of, table
from training.evaluation.cross_fitting import Answers
from training.evaluation.evidence import falls, peak_inside
from training.evaluation.evidence_figures import evidence_figures
from training.evaluation.metrics import Floats
from training.fitting.config import Config
from training.fitting.samples import LUNG

PLACES, PIXELS = 4, 16  # along a side: four pixels to a place


def spot(row: int, column: int, side: int = PIXELS) -> NDArray[np.float32]:
    """Lung with 100 HU in the one place."""
    hu = np.full((side, side), LUNG, np.float32)
    hu[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = 100
    return hu


def of_places(hu: NDArray[np.float32]) -> Floats:
    """The mean HU of each place: a map that points at what its network sees."""
    return np.asarray(hu.reshape(len(hu), PLACES, 4, PLACES, 4).mean(axis=(2, 4)), np.float64)


def mean_hu(hu: NDArray[np.float32]) -> Floats:
    return np.asarray(hu.mean(axis=(1, 2)), np.float64)


@pytest.mark.parametrize(("row", "column", "inside"), [(1, 2, 1.0), (1, 1, 0.0), (2, 2, 0.0)])
def test_the_peak_lies_where_the_middle_of_the_highest_place_does(row: int, column: int, inside: float) -> None:
    outline = np.asarray(spot(1, 2) > 0, np.float32)
    assert peak_inside(of_places(spot(row, column)[None]), [outline]).tolist() == [inside]


def test_a_peak_at_the_outlines_edge_lies_inside_only_with_its_middle() -> None:
    local, touched, held = of_places(spot(1, 2)[None]), np.zeros((PIXELS, PIXELS), np.float32), None
    touched[4:8, 8:9] = 1
    assert peak_inside(local, [touched]).tolist() == [0.0]
    assert np.isnan(peak_inside(local, [held])).all()


def test_a_map_that_points_at_what_is_seen_outweighs_chance() -> None:
    hu = np.stack([spot(1, 2), spot(3, 3)])
    by_map, by_chance = falls(mean_hu, hu, of_places(hu), seeds=[1, 2])
    np.testing.assert_allclose(by_map, (100 - LUNG) / PLACES**2)
    assert (by_map >= by_chance).all()
    assert (by_map > by_chance).any()


def test_a_map_that_points_elsewhere_does_not() -> None:
    hu = spot(1, 2)[None]
    by_map, _ = falls(mean_hu, hu, -of_places(hu), seeds=[1])
    assert by_map.tolist() == [0.0]


def test_the_same_seed_moves_the_places_to_the_same_spot() -> None:
    hu = np.repeat(spot(0, 0)[None], 20, axis=0)
    (_, once), (_, again) = (falls(mean_hu, hu, of_places(hu), seeds=range(20)) for _ in range(2))
    assert once.tolist() == again.tolist()
    assert len(set(once.tolist())) > 1


def test_figures_are_of_suspicious_lesions_with_an_outline_of_several(config: Config) -> None:
    nodules = table(
        4,
        median=np.array([4.0, 4.0, 4.0, 2.0]),
        outlines=np.array([3, 4, 1, 3]),
        peak_inside=np.array([1.0, 0.0, 0.0, 0.0]),
        fall_by_evidence=np.array([2.0, 2.0, 0.0, 0.0]),
        fall_by_chance=np.ones(4),
    )
    said: Answers = answers(probability=[0.9, 0.8, 0.7, 0.1])
    found = evidence_figures(study_of(nodules, said), config)
    assert found["evidence_peak_in_outline"].value == 0.5
    assert found["evidence_outweighs_chance"].value == pytest.approx(2 / 3)
