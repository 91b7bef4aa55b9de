"""What is fitted on held-out predictions, and what is answered with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from app.inference.conformal import SizeQuantiles
from tests.training.evaluation.hand_made import answers, overlapping, table
from training.evaluation.cross_fitting import (
    Calibration,
    answer,
    answer_candidates,
    decided,
    diameter_threshold_mm,
    fit_calibration,
)
from training.evaluation.held_out import HeldOut, HeldOutCandidates
from training.fitting.config import Config

FITTED = Calibration(
    slope=1.0,
    intercept=0.0,
    threshold=0.5,
    quantiles={"cancer_suspected": 0.6, "normal": 0.35},
    nodule_threshold=0.5,
    distance_threshold=2.0,
)


def test_decided_nodules_have_enough_readers_and_a_median_other_than_3(config: Config) -> None:
    nodules = table(5, median=np.array([2.0, 3.0, 4.0, 4.0, 3.5]), readers=np.array([3, 4, 3, 2, 4]))
    assert decided(nodules, config).tolist() == [True, False, True, False, True]


@pytest.fixture
def nodules() -> HeldOut:
    """Half of them decided; the others with too few readers, far away and hardly nodules."""
    return joined_with_undecided(overlapping(300))


def joined_with_undecided(decided_ones: HeldOut) -> HeldOut:
    count = len(decided_ones.fold)
    few, low, far = np.full(count, 1), np.linspace(-9, -8, count), np.linspace(8, 9, count)
    other = np.array([f"other {k}" for k in range(count)])
    undecided = replace(decided_ones, lesion=other, readers=few, nodule=low, distance=far)
    return HeldOut.joined([decided_ones, undecided])


def test_suspicion_is_fitted_on_the_decided_and_the_other_thresholds_on_all(nodules: HeldOut, config: Config) -> None:
    sure = nodules.where(decided(nodules, config))
    all_of_them, few = fit_calibration(nodules, config), fit_calibration(sure, config)
    assert all_of_them.model_dump(exclude={"nodule_threshold", "distance_threshold"}) == few.model_dump(
        exclude={"nodule_threshold", "distance_threshold"}
    )
    said = answer(nodules, all_of_them, 0.0)
    for kept, wanted in (
        (said.kept_as_nodule, config.calibration.nodules_kept),
        (said.in_distribution, config.calibration.in_distribution_kept),
    ):
        assert wanted <= kept.mean() < wanted + 2 / len(kept)


def test_thresholds_keep_what_the_configuration_wants_of_the_nodules_they_are_fitted_on(config: Config) -> None:
    nodules, wanted = overlapping(400), config.calibration
    fitted = fit_calibration(nodules, config)
    said = answer(nodules, fitted, diameter_threshold_mm(nodules, config))
    suspicious, benign = nodules.suspicious, ~nodules.suspicious
    for kept, share in (
        (said.called[suspicious], wanted.sensitivity),
        (said.called_by_diameter[suspicious], wanted.sensitivity),
    ):
        assert share <= kept.mean() <= share + 2 / len(kept)
    for of_class, held, label in (
        (suspicious, said.holds_suspicious, "cancer_suspected"),
        (benign, said.holds_benign, "normal"),
    ):
        edges = (0.0, *fitted.quantiles[label].edges_mm, np.inf)  # type: ignore[index]  # both are labels
        assert len(edges) > 2
        for low, high in pairwise(edges):
            kept = held[of_class & (nodules.soft_diameter_mm >= low) & (nodules.soft_diameter_mm < high)]
            assert wanted.coverage <= kept.mean() <= wanted.coverage + 2 / len(kept)


def test_answers_follow_from_thresholds_the_threshold_itself_included() -> None:
    logit = np.log(np.array([0.3, 0.4, 0.5, 0.7]) / np.array([0.7, 0.6, 0.5, 0.3]))
    said = answer(
        table(4, malignancy=logit, nodule=np.array([-1.0, 0.0, 1.0, 1.0]), negative=np.array([1.0, 0.0, -1.0, np.nan]),
              distance=np.array([1.0, 2.0, 2.1, 3.0]), true_diameter_mm=np.array([4.0, 6.0, 5.9, 9.0])),
        FITTED, 6.0,
    )  # fmt: skip
    np.testing.assert_allclose(said.probability, [0.3, 0.4, 0.5, 0.7])
    assert said.called.tolist() == [False, False, True, True]
    assert said.called_by_diameter.tolist() == [False, True, False, True]
    assert said.holds_suspicious.tolist() == [False, True, True, True]
    assert said.holds_benign.tolist() == [True, False, False, False]
    assert said.kept_as_nodule.tolist() == [False, True, True, True]
    assert said.negative_refused.tolist() == [False, False, True, False]
    assert said.in_distribution.tolist() == [True, True, False, False]
    assert said.decisions.tolist() == ["rejected", "indeterminate", "rejected", "rejected"]


def test_sets_take_the_quantile_of_the_nodules_size() -> None:
    by_size = FITTED.model_copy(
        update={
            "quantiles": {
                "cancer_suspected": SizeQuantiles(quantiles=(0.6, 0.2), edges_mm=(10.0,)),
                "normal": SizeQuantiles(quantiles=(0.2, 0.6), edges_mm=(10.0,)),
            }
        }
    )
    said = answer(table(3, soft_diameter_mm=np.array([9.9, 10.0, 30.0])), by_size, 6.0)  # all at a probability of 0.5
    assert said.holds_suspicious.tolist() == [True, False, False]
    assert said.holds_benign.tolist() == [False, True, True]


def test_places_that_are_no_nodule_are_called_by_their_own_size_and_score() -> None:
    fitted = FITTED.model_copy(update={"per_log_mm": 1.0, "intercept": -np.log(8.0)})
    said = answer(
        table(3, negative_malignancy=np.array([0.1, 0.1, np.nan]), negative_soft_mm=np.array([8.0, 4.0, np.nan])),
        fitted,
        6.0,
    )
    assert said.negative_called.tolist() == [True, False, False]
    candidates = HeldOutCandidates(
        np.zeros(2, np.int64), np.zeros(2, np.bool_), np.array([1.0, -1.0]), np.array([0.1, 0.1]), np.array([8.0, 4.0])
    )
    of_candidates = answer_candidates(candidates, fitted)
    assert of_candidates.kept_as_nodule.tolist() == of_candidates.called.tolist() == [True, False]


def test_either_reason_rejects() -> None:
    said = answers(kept_as_nodule=[1, 1, 0, 0], in_distribution=[1, 0, 1, 0])
    booleans = replace(said, kept_as_nodule=said.kept_as_nodule > 0, in_distribution=said.in_distribution > 0)
    assert booleans.rejected.tolist() == [False, True, True, True]


def test_without_a_suspicious_nodule_a_diameter_separates_nothing(config: Config) -> None:
    assert np.isnan(diameter_threshold_mm(table(4), config))
