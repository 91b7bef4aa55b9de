"""What readers share, on ratings and outlines made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.evaluation.hand_made import answers, study_of, table
from training.data.ratings import RATED
from training.evaluation.calcification import COLUMN, calcification_figures, is_calcified
from training.evaluation.ceilings import ceiling_figures
from training.evaluation.cross_fitting import Answers
from training.evaluation.readers import compare_outlines, pair_readers
from training.evaluation.shared_ratings import SharedRatings
from training.fitting.config import Config


def shared(ratings: list[list[float]]) -> SharedRatings:
    given = {k: np.array(rows)[:, None] * np.ones(len(RATED)) for k, rows in enumerate(ratings)}
    return SharedRatings.of(pair_readers(list(given), given, 2))


def test_readers_who_agree_share_all_and_who_guess_share_nothing() -> None:
    agree = shared([[1, 1, 1], [3, 3, 3], [5, 5, 5], [2, 2, 2]])
    assert agree.icc(np.arange(4)) == pytest.approx(1)
    rng = np.random.default_rng(0)
    guess = shared(rng.integers(1, 6, (2000, 4)).astype(float).tolist())
    assert guess.icc(np.arange(2000)) == pytest.approx(0, abs=0.03)


def test_the_intraclass_correlation_is_that_of_the_analysis_of_variance() -> None:
    """Six nodules, four readers: Shrout and Fleiss 1979, table 2, ICC(1,1) = 0.17."""
    table_2 = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert shared([[float(v) for v in row] for row in table_2]).icc(np.arange(6)) == pytest.approx(0.1657, abs=1e-3)


def test_what_size_explains_is_not_shared_beyond_it() -> None:
    rng = np.random.default_rng(1)
    log_mm = rng.uniform(1, 3.5, 3000)
    sized = log_mm[:, None] + rng.normal(0, 0.4, (3000, 3))
    beyond = sized + rng.normal(0, 0.4, (3000, 1))
    everything = np.arange(3000)
    assert shared(sized.tolist()).icc(everything) > 0.7
    assert shared(sized.tolist()).icc(everything, log_mm) == pytest.approx(0, abs=0.03)
    assert shared(beyond.tolist()).icc(everything, log_mm) == pytest.approx(0.5, abs=0.03)


def test_unequal_numbers_of_readers_count_as_they_are() -> None:
    found = shared([[1, 2], [4, 5, 5, 4], [3, 3, 2]])
    assert found.count.tolist() == [2, 4, 3]
    assert found.mean.tolist() == pytest.approx([1.5, 4.5, 8 / 3])
    assert found.within.tolist() == pytest.approx([0.5, 1.0, 2 / 3])


def square(first: int, last: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros((8, 8), np.bool_)
    mask[first:last] = True
    return mask


def test_outlines_are_compared_with_each_other_and_with_the_others_majority() -> None:
    drawn = {3: np.stack([square(0, 2), square(0, 2), square(0, 4)]), 5: np.stack([square(0, 2), square(2, 4)])}
    found = compare_outlines([1, 3, 5], drawn)
    assert found.pair_nodule.tolist() == [1, 1, 1, 2]
    np.testing.assert_allclose(found.pairs, [1, 2 / 3, 2 / 3, 0])
    # Two others are a majority where one of them says so: the first two see rows 0-4, the third rows 0-2.
    assert found.one_nodule.tolist() == [1, 1, 1]
    np.testing.assert_allclose(found.ones, [2 / 3, 2 / 3, 2 / 3])
    nothing = compare_outlines([1, 2], {})
    assert (len(nothing.pairs), len(nothing.ones)) == (0, 0)


def with_calcium(ratings: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    traits = np.full((len(ratings), 7), 3.0)
    traits[:, COLUMN] = ratings
    return traits


def test_a_nodule_that_nobody_rated_is_neither_calcified_nor_not() -> None:
    calcified, bare = is_calcified(table(4, true_traits=with_calcium([3.0, 5.49, 5.5, np.nan])))
    assert calcified.tolist() == [True, True, False, False]
    assert bare.tolist() == [False, False, True, False]


def test_calcified_and_other_nodules_are_measured_apart(config: Config) -> None:
    n = table(
        8,
        median=np.array([4.0, 2, 2, 2, 4, 2, 2, 3]),
        true_traits=with_calcium([3.0, 3, 3, 3, 6, 6, 6, 3]),
        true_diameter_mm=np.array([9.0, 9, 9, 30, 9, 9, 30, 9]),
    )
    said = answers(probability=[0.3, 0.2, 0.4, 0.9, 0.8, 0.9, 0.1, 0.9], called=[0, 0, 0, 1, 1, 1, 0, 1])
    said = Answers(**{k: getattr(said, k) if k == "probability" else getattr(said, k) > 0 for k in Answers.__slots__})
    found = {name: figure.value for name, figure in calcification_figures(study_of(n, said), config).items()}
    assert found["auc_calcified"] == pytest.approx(1 / 3)
    assert found["size_matched_auc_calcified"] == 0.5
    assert found["size_matched_auc_not_calcified"] == 0.0
    assert found["benign_called_calcified"] == pytest.approx(1 / 3)  # the median of 3 is not benign
    assert found["benign_called_not_calcified"] == 0.5


def test_one_reader_and_the_network_are_measured_on_the_same_pairs_of_like_size(config: Config) -> None:
    """Four nodules of like size and one far larger; the reader who rates first is always right about them."""
    medians = np.array([4.0, 4, 2, 2, 2])
    ratings = {k: np.array([[m], [m], [m]]) * np.ones(len(RATED)) for k, m in enumerate(medians.tolist())}
    n = table(5, median=medians, true_diameter_mm=np.array([9.0, 9, 9, 9, 40]), true_traits=with_calcium([6.0] * 5))
    said = answers(probability=[0.9, 0.2, 0.5, 0.1, 0.99])
    study = study_of(n, said, readers=pair_readers(list(ratings), ratings, 3))
    found = {name: figure.value for name, figure in ceiling_figures(study, config).items()}
    for suffix in ("", "_not_calcified"):
        assert found[f"size_matched_auc_one_reader{suffix}"] == 1.0
        assert found[f"size_matched_auc_against_other_readers{suffix}"] == 0.75
        assert found[f"size_matched_auc_gain_over_one_reader{suffix}"] == -0.25
    assert "size_matched_auc_one_reader_calcified" not in found
    assert found["auc_against_other_readers"] == pytest.approx((0.75 * 4) / 6)
