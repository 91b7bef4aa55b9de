"""Local acceptance on answers made by hand: what fails, what passes, and what too few cases cannot decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from app.inference.bundle import Manifest, load_bundle
from tests.fakes import write_bundle
from tests.training.evaluation.hand_made import answers, table
from tests.training.evaluation.hand_made import study_of as made_study
from training.evaluation.acceptance import Acceptance, accept, share_interval, stop_rule
from training.evaluation.cross_fitting import Answers
from training.evaluation.metrics import Floats, expected_calibration_error
from training.evaluation.stated_and_observed import null_ece
from training.evaluation.study import Study
from training.fitting.config import Config

MANY = 400


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Claims: AUC, sensitivity and specificity 0.9 (0.8 to 0.95), coverage 0.9, operating point 0.5."""
    return load_bundle(write_bundle(tmp_path)).manifest


def study_of(suspicious: np.ndarray[tuple[int], np.dtype[np.bool_]], said: Answers, diameter_mm: Floats) -> Study:
    count = len(suspicious)
    nodules = table(count, median=np.where(suspicious, 5.0, 1.0), true_diameter_mm=diameter_mm)
    return made_study(nodules, said)


def unchanged(p: Floats) -> Floats:
    return p


def claimed(
    count: int, stated: Callable[[Floats], Floats] = unchanged, called: Callable[[Floats], Floats] = unchanged
) -> Study:
    """A site at which everything is as claimed but for what is given: probabilities are right, sets hold nine of ten
    labels."""
    rng = np.random.default_rng(3)
    p = 1 / (1 + np.exp(-rng.normal(0, 3.5, count)))
    suspicious = rng.random(count) < p
    probability = stated(p)
    held = rng.random((2, count)) < 0.9
    said = answers(
        probability=list(probability),
        called=list(called(probability) >= 0.5),
        kept_as_nodule=[True] * count,
        in_distribution=[True] * count,
        holds_suspicious=list(held[0]),
        holds_benign=list(held[1]),
    )
    return study_of(suspicious, said, rng.uniform(4, 12, count) + 4 * suspicious)


def verdicts(found: Acceptance) -> dict[str, str]:
    return {check.name: check.verdict for check in found.checks}


def test_what_is_as_claimed_is_accepted(manifest: Manifest, config: Config) -> None:
    found = accept(claimed(MANY), manifest, config, own_threshold=False)
    assert set(verdicts(found).values()) == {"passed"}
    assert found.decision == "accepted"


def test_probabilities_that_are_too_extreme_fail_slope_and_error(manifest: Manifest, config: Config) -> None:
    def extreme(p: Floats) -> Floats:
        return 1 / (1 + ((1 - p) / p) ** 4)

    found = accept(claimed(MANY, stated=extreme), manifest, config, own_threshold=False)
    assert verdicts(found)["calibration slope"] == verdicts(found)["expected calibration error"] == "failed"
    assert verdicts(found)["AUC"] == "passed"
    assert found.decision == "not accepted"
    (slope,) = (check.found for check in found.checks if check.name == "calibration slope")
    assert slope is not None
    assert slope.value == pytest.approx(0.25, abs=0.05)


def test_a_network_that_ranks_at_random_fails_both_comparisons(manifest: Manifest, config: Config) -> None:
    def shuffled(p: Floats) -> Floats:
        return np.random.default_rng(1).permutation(p)

    found = verdicts(accept(claimed(MANY, stated=shuffled), manifest, config, own_threshold=False))
    assert (found["AUC"], found["AUC above diameter alone"]) == ("failed", "failed")


def test_a_network_that_says_the_same_about_all_has_no_slope_and_fails(manifest: Manifest, config: Config) -> None:
    found = verdicts(
        accept(claimed(MANY, stated=lambda p: np.full_like(p, 0.5)), manifest, config, own_threshold=False)
    )
    assert found["calibration slope"] == "failed"


def test_too_many_false_alarms_fail_and_a_sites_own_point_has_no_claim(manifest: Manifest, config: Config) -> None:
    everything = claimed(MANY, called=np.ones_like)
    found = verdicts(accept(everything, manifest, config, own_threshold=False))
    assert (found["sensitivity"], found["false-alarm rate"]) == ("passed", "failed")
    own = accept(everything, manifest, config, own_threshold=True)
    assert verdicts(own)["false-alarm rate"] == "no claim"
    assert own.decision == "accepted"


def test_sets_that_leave_labels_out_and_images_that_are_foreign_fail(manifest: Manifest, config: Config) -> None:
    study = claimed(MANY)
    said = study.answers
    fields = {name: getattr(said, name) for name in Answers.__slots__}
    foreign = np.arange(MANY) % 5 > 0
    fields |= {"holds_benign": said.holds_benign & foreign, "in_distribution": foreign}
    study = study_of(study.nodules.suspicious, Answers(**fields), study.nodules.true_diameter_mm)
    found = verdicts(accept(study, manifest, config, own_threshold=False))
    assert (found["coverage, suspicious"], found["coverage, benign"]) == ("passed", "failed")
    assert found["nodules rejected"] == "failed"


def test_few_cases_decide_nothing_but_what_they_exclude(manifest: Manifest, config: Config) -> None:
    found = accept(claimed(24), manifest, config, own_threshold=False)
    assert verdicts(found)["AUC"] == verdicts(found)["coverage, benign"] == "too few cases"
    assert found.decision == "undecided"
    alarmed = accept(claimed(24, called=np.ones_like), manifest, config, own_threshold=False)
    assert verdicts(alarmed)["false-alarm rate"] == "failed"
    assert alarmed.decision == "not accepted"


def test_unknown_diameters_are_no_claim(manifest: Manifest, config: Config) -> None:
    study = claimed(MANY)
    bare = study_of(study.nodules.suspicious, study.answers, np.full(MANY, np.nan))
    assert verdicts(accept(bare, manifest, config, own_threshold=False))["AUC above diameter alone"] == "no claim"


def test_the_null_of_the_calibration_error_is_that_of_a_perfect_model() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(60)
    null = null_ece(p, 10, seed=1)
    perfect = [expected_calibration_error(rng.random(60) < p, p, 10) for _ in range(500)]
    assert null.value == pytest.approx(float(np.mean(perfect)), abs=0.01)
    assert np.mean(np.array(perfect) <= null.high) == pytest.approx(0.95, abs=0.03)
    assert null.value > 0.05  # at 60 nodules a bound of 0.05 would refuse what is right


def test_a_share_without_an_error_keeps_its_width() -> None:
    found = share_interval(np.ones(10, np.bool_))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 0.6915, 1.0), abs=1e-4)
    assert share_interval(np.ones(0, np.bool_)) is None


def test_a_stop_rule_is_met_by_chance_in_fewer_than_one_of_a_hundred() -> None:
    rule = stop_rule("…", 50, 0.1)
    assert binom.sf(rule.stop_at - 1, 50, 0.1) < 0.01 <= binom.sf(rule.stop_at - 2, 50, 0.1)
    assert rule.expected == pytest.approx(5)


def test_stop_rules_start_from_what_was_accepted(manifest: Manifest, config: Config) -> None:
    rules = accept(claimed(MANY), manifest, config, own_threshold=False).stop_rules
    assert [rule.of for rule in rules] == [50, 50, 50, 200]
    assert all(rule.stop_at > rule.expected for rule in rules)
