"""A site's own calibration line and sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.inference.bundle import Manifest, load_bundle
from tests.fakes import write_bundle
from tests.training.evaluation.hand_made import table
from training.data.nodules import DatasetMalformed
from training.evaluation.calibration import sigmoid
from training.evaluation.held_out import HeldOut
from training.evaluation.metrics import expected_calibration_error
from training.evaluation.recalibration import cross_fitted_refit, refit, require_enough
from training.evaluation.stated_and_observed import calibration_line, logit
from training.fitting.config import Config

SLOPE, INTERCEPT = 0.5, -1.0  # of the truth on what is stated


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return load_bundle(write_bundle(tmp_path)).manifest


def shifted(count: int, seed: int = 0) -> HeldOut:
    """A site where the truth is sigmoid(0.5 * stated logit - 1)."""
    rng = np.random.default_rng(seed)
    stated = rng.normal(1, 3, count)
    suspicious = rng.random(count) < sigmoid(SLOPE * stated + INTERCEPT)
    return table(
        count,
        malignancy=stated,
        median=np.where(suspicious, 5.0, 1.0),
        fold=np.arange(count) % 5,
        true_diameter_mm=rng.uniform(4, 20, count),
    )


def test_the_line_is_that_of_the_truth() -> None:
    site = shifted(20_000)
    found = calibration_line(site.suspicious, sigmoid(site.malignancy))
    assert found == pytest.approx((SLOPE, INTERCEPT), abs=0.05)
    right = calibration_line(site.suspicious, sigmoid(SLOPE * site.malignancy + INTERCEPT))
    assert right == pytest.approx((1, 0), abs=0.05)


def test_one_class_has_no_line() -> None:
    assert np.isnan(calibration_line(np.ones(3, np.bool_), np.full(3, 0.5))).all()


def test_scores_that_lie_close_together_have_their_slope_too() -> None:
    site = shifted(5000)
    close = sigmoid(site.malignancy / 1000)
    slope, _ = calibration_line(site.suspicious, close, (-1000.0, 1000.0))
    assert slope == pytest.approx(1000 * SLOPE, rel=0.1)
    assert np.isnan(calibration_line(site.suspicious, np.full(5000, 0.5))).all()


def test_a_network_that_says_the_same_about_all_is_refused(config: Config) -> None:
    with pytest.raises(DatasetMalformed, match="the same probability for every nodule"):
        require_enough(table(200, median=np.tile([5.0, 1.0], 100)), config)


def test_decisions_at_the_operating_point_are_carried_over(manifest: Manifest, config: Config) -> None:
    site = shifted(500)
    fitted = refit(site, manifest, config)
    before = sigmoid(site.malignancy) >= manifest.operating_point.threshold
    after = sigmoid(fitted.slope * logit(sigmoid(site.malignancy)) + fitted.intercept) >= fitted.threshold
    np.testing.assert_array_equal(before, after)


def test_a_network_that_ranks_backwards_is_not_turned_round(manifest: Manifest, config: Config) -> None:
    site = shifted(500)
    backwards = table(500, malignancy=-site.malignancy, median=site.median, fold=site.fold)
    assert refit(backwards, manifest, config).slope > 0


def test_a_folds_labels_do_not_change_its_own_answers(manifest: Manifest, config: Config) -> None:
    site = shifted(500)
    turned = np.where(site.fold == 2, 6 - site.median, site.median)
    other = table(
        500, malignancy=site.malignancy, median=turned, fold=site.fold, true_diameter_mm=site.true_diameter_mm
    )
    one, two = (cross_fitted_refit(nodules, manifest, config) for nodules in (site, other))
    np.testing.assert_array_equal(one.probability[site.fold == 2], two.probability[site.fold == 2])
    assert not np.array_equal(one.probability[site.fold != 2], two.probability[site.fold != 2])


def test_recalibration_pays_on_patients_that_it_was_not_fitted_on(manifest: Manifest, config: Config) -> None:
    site = shifted(500)
    said, y = cross_fitted_refit(site, manifest, config), site.suspicious
    assert expected_calibration_error(y, said.probability, 10) < 0.06
    assert expected_calibration_error(y, sigmoid(site.malignancy), 10) > 0.15
    assert said.holds_suspicious[y].mean() == pytest.approx(0.9, abs=0.05)
    assert said.holds_benign[~y].mean() == pytest.approx(0.9, abs=0.05)


def test_sets_are_made_anew_for_each_size_that_has_enough_cases(manifest: Manifest, config: Config) -> None:
    """At this site what is large is called suspicious whatever it is: sets of one quantile would leave it out."""
    rng = np.random.default_rng(3)
    size = rng.uniform(4, 19, 1200)
    suspicious = rng.random(1200) < 0.5
    site = table(
        1200,
        malignancy=rng.normal(0, 1, 1200) + np.where(suspicious, 1, -1) + np.where(size > 10, 2, 0),
        median=np.where(suspicious, 5.0, 1.0),
        fold=np.arange(1200) % 5,
        soft_diameter_mm=size,
    )
    fitted = refit(site, manifest, config)
    assert fitted.quantiles["normal"].edges_mm == (6.0, 10.0)
    assert fitted.quantiles["normal"].at(15.0) > fitted.quantiles["normal"].at(8.0) + 0.1
    said = cross_fitted_refit(site, manifest, config)
    for low, high in ((4, 6), (6, 10), (10, 19)):
        held = said.holds_benign[~suspicious & (size >= low) & (size < high)]
        assert held.mean() == pytest.approx(0.9, abs=0.06)


def test_too_few_of_a_class_are_refused(config: Config) -> None:
    with pytest.raises(DatasetMalformed, match=r"at least 20 of each"):
        require_enough(shifted(30), config)
    require_enough(shifted(200), config)
