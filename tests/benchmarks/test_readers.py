"""Who is shown: the filter and the classifier on candidates whose scores are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.inference.detector import SecondReader
from benchmarks.planted_pictures import COLUMNS, TILE_PX, draw_pictures
from benchmarks.planted_scans import Found, PlantedScan, Planting
from benchmarks.readers import Alone, Cascade, Every, Judge, arm_of
from tests.inference.volumes import chest_volume
from training.data.nodules import UNRATED_TRAITS, Nodule
from training.data.scans import Scan

SMALL, WIDE = PatchSpec(4, 1.0), PatchSpec(6, 1.0)
SECOND = SecondReader(model="nodule-classifier", from_score=0.0, chosen_for="tests", weight=2.0)


def mean(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(hu.mean(axis=(1, 2)), np.float32)


def found(filter_logits: list[float], classifier_logits: list[float], middles_mm: list[float]) -> Found:
    """Candidates of 5 mm along a line; each patch holds nothing but its logit."""
    patches = {
        spec: np.array([np.full((spec.size_px, spec.size_px), x) for x in logits], np.float32)
        for spec, logits in ((SMALL, filter_logits), (WIDE, classifier_logits))
    }
    points_mm = np.array([(x, 0.0) for x in middles_mm])
    return Found(points_mm, np.full(len(middles_mm), 5.0), patches)


FILTER, CLASSIFIER = Judge(SMALL, mean), Judge(WIDE, mean)
FOUND = found([1.0, 3.0, -0.5, 2.0], [0.5, -1.0, 5.0, 1.0], [0.0, 2.0, 30.0, 60.0])


def test_alone_every_candidate_or_the_best_of_a_place() -> None:
    numbers, scores = Every(FILTER)(FOUND)
    assert (numbers.tolist(), scores.tolist()) == ([0, 1, 2, 3], [1.0, 3.0, -0.5, 2.0])
    numbers, scores = Alone(FILTER)(FOUND)
    assert (numbers.tolist(), scores.tolist()) == ([1, 3, 2], [3.0, 2.0, -0.5])


def test_the_classifier_is_heard_about_what_the_filter_lets_pass() -> None:
    numbers, scores = Cascade(FILTER, CLASSIFIER, SECOND)(FOUND)
    assert numbers.tolist() == [1, 3]
    assert scores == pytest.approx([3.0 - 2.0, 2.0 + 2.0], abs=1e-4)


def test_where_nothing_passes_nobody_is_asked() -> None:
    def refuses(hu: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError(f"asked about {len(hu)}")

    numbers, scores = Cascade(FILTER, Judge(WIDE, refuses), SECOND)(found([-1.0], [9.0], [0.0]))
    assert (len(numbers), len(scores)) == (0, 0)


def test_a_patch_of_its_own_is_scored_as_a_candidate() -> None:
    cascade = Cascade(FILTER, CLASSIFIER, SECOND)
    scores = cascade.native(FOUND.patches[SMALL], FOUND.patches[WIDE])
    assert scores == pytest.approx([2.0, 1.0, -np.inf, 4.0], abs=1e-4)


def planting(patient: str, around: Found, on: list[bool]) -> Planting:
    nodule = Nodule(
        nodule_id=1, patient=patient, fold=0, series_uid="", sop_uid="", manufacturer="", spacing_mm=0.7,
        diameter_mm=6.0, point_px=(0, 0), malignancy=(3,), traits=UNRATED_TRAITS,
        hu=np.zeros((71, 71), np.int16), outline=None,
    )  # fmt: skip
    return Planting(nodule, 0, (0, 0), around, np.array(on), np.zeros((96, 96), np.float32))


def planted() -> PlantedScan:
    scan = Scan("phantom", chest_volume({}), np.zeros((0, 4)))
    shown_beside = found([1.0, 3.0], [0.0, 0.0], [0.0, 2.0])
    plantings = (
        planting("A", FOUND, [False, False, False, True]),
        planting("B", shown_beside, [True, False]),
        planting("C", FOUND, [False, False, True, False]),
    )
    false = tuple(found([float(k)], [0.0], [0.0]) for k in range(1, 9))
    return PlantedScan(scan, plantings, false, {})


def test_a_nodule_is_scored_by_what_is_shown_on_it() -> None:
    arm = arm_of(planted(), Cascade(FILTER, CLASSIFIER, SECOND))
    # B's candidate is taken for part of a better one beside it, C's does not pass the filter.
    assert arm.scores == pytest.approx([4.0, -np.inf, -np.inf], abs=1e-4)
    assert arm.owners.tolist() == ["A", "B", "C"]
    assert [scores.tolist() for scores in arm.background.scores] == [[float(k)] for k in range(1, 9)]


def test_what_is_missed_and_shown_in_vain_is_drawn(tmp_path: Path) -> None:
    draw_pictures(tmp_path, [planted()], [Cascade(FILTER, CLASSIFIER, SECOND)], [True, True, False], 0.5)
    missed, false = (cv2.imread(str(tmp_path / f"{kind}-phantom.png")) for kind in ("missed", "false"))
    assert missed is not None
    assert false is not None
    assert missed.shape == false.shape == (TILE_PX, COLUMNS * TILE_PX, 3)
    # At 0.5 per slice the threshold lies above 4: A and B are missed, C is not asked for, eight are false.
    filled = [bool(missed[:, k * TILE_PX : (k + 1) * TILE_PX].any()) for k in range(COLUMNS)]
    assert filled == [True] * 2 + [False] * (COLUMNS - 2)
    assert not false[:, 8 * TILE_PX :].any()
    assert false[:, 7 * TILE_PX : 8 * TILE_PX].any()
