"""Every figure on a study made by hand: which nodules it counts, and the sign it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.inference.bundle import Interval
from tests.training.evaluation.hand_made import study_of, table
from tests.training.evaluation.test_cross_fitting import FITTED
from training.data.nodules import Dataset, Nodule
from training.evaluation.baselines import logistic_scores
from training.evaluation.cross_fitting import Answers, CandidateAnswers
from training.evaluation.figures import finding_figures, measure, suspicion_figures
from training.evaluation.held_out import HeldOutCandidates
from training.evaluation.results import GROUPS, MEASURED_ON, describe_study
from training.evaluation.study import Study
from training.evaluation.subgroups import MIN_OF_CLASS, measure_subgroups
from training.evaluation.targets import Goal, compare_targets
from training.fitting.config import Config

NAN = float("nan")


def flags(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array([mark == "x" for mark in text])


def answered(count: int, **given: str) -> Answers:
    """No to everything, but for what is marked with an x."""
    nothing = {name: np.zeros(count, np.bool_) for name in Answers.__slots__ if name != "probability"}
    marked = nothing | {name: flags(marks) for name, marks in given.items()}
    return Answers(probability=np.linspace(0.1, 0.9, count), **marked)


def values(table_of: object, count: int) -> dict[str, float]:
    assert isinstance(table_of, dict)
    return {name: metric(np.arange(count)) for name, metric in table_of.items()}


def test_suspicion_is_counted_on_the_class_a_figure_names(config: Config) -> None:
    n = table(5, median=np.array([4.0, 4.0, 2.0, 2.0, 2.0]))
    j = answered(5, called="xxx..", holds_suspicious="x.x..", holds_benign="x..xx")
    found = values(suspicion_figures(n, j, config), 5)
    assert found["sensitivity"] == 1.0
    assert found["specificity"] == pytest.approx(2 / 3)
    assert found["coverage_suspicious"] == 0.5
    assert found["coverage_benign"] == pytest.approx(2 / 3)
    assert found["suspicious_share"] == 0.4
    # Sets of one label that is the called one: the third, fourth and fifth; called as the readers did: the last two.
    assert found["decided"] == pytest.approx(3 / 5)
    assert found["correct_when_decided"] == pytest.approx(2 / 3)


def test_the_network_is_compared_with_the_diameter(config: Config) -> None:
    # Ranked by probability both suspicious come first, by diameter they come second and last.
    n = table(4, median=np.array([2.0, 2.0, 4.0, 4.0]), true_diameter_mm=np.array([9.0, 5.0, 7.0, 4.0]))
    found = values(suspicion_figures(n, answered(4), config), 4)
    assert (found["auc"], found["auc_diameter_alone"], found["auc_gain_over_diameter"]) == (1.0, 0.25, 0.75)
    assert found["auprc"] == 1.0
    assert found["auprc_diameter_alone"] == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 4)
    # Only 4 and 5 mm are alike: the network ranks them as the readers, the diameter the other way round.
    assert (found["size_matched_auc"], found["size_matched_auc_diameter_alone"]) == (1.0, 0.0)


def test_a_nodule_ranks_above_the_place_beside_it() -> None:
    n = table(3, nodule=np.array([3.0, 2.0, 0.0]), negative=np.array([1.0, NAN, -1.0]))
    assert values(finding_figures(n, answered(3)), 3)["nodule_auc"] == pytest.approx(5 / 6)


def test_findings_are_counted_on_all_nodules_and_on_places_that_are_there() -> None:
    n = table(4, diameter_mm=np.array([6.0, 5.0, 7.0, 5.0]), negative=np.array([0.0, NAN, 0.0, NAN]))
    j = answered(4, negative_refused="x...", negative_called="xxx.", kept_as_nodule="xxx.", in_distribution="xx.x")
    found = values(finding_figures(n, j), 4)
    assert (found["diameter_bias_mm"], found["diameter_error_mm"]) == (0.75, 0.75)
    assert found["negatives_refused"] == 0.5
    assert (found["negatives_called"], found["negatives_kept_and_called"]) == (1.0, 0.5)
    assert (found["nodules_kept"], found["in_distribution"], found["nodules_rejected"]) == (0.75, 0.75, 0.5)
    smaller = replace(n, diameter_mm=n.diameter_mm - 3)
    assert values(finding_figures(smaller, j), 4)["diameter_bias_mm"] == -2.25


@pytest.fixture
def cases(dataset: Dataset) -> tuple[Nodule, ...]:
    """Any nodules; what is said of them is made by hand."""
    return tuple(dataset.nodules[k % len(dataset.nodules)] for k in range(40))


@pytest.fixture
def study(cases: tuple[Nodule, ...]) -> Study:
    """Ten suspicious, ten benign, ten indeterminate, and ten of each kind whom one reader saw and the answers fail."""
    kind = np.repeat([4.0, 2.0, 3.0, 4.0], 10)
    n = table(40, median=kind, mean=kind, readers=np.repeat([3, 3, 4, 1], 10))
    called = "x" * 10 + "." * 10 + "xx" + "." * 8 + "." * 10
    candidates = HeldOutCandidates(np.zeros(4, np.int64), flags("xx.."), *np.zeros((3, 4)))
    of_candidates = CandidateAnswers(kept_as_nodule=flags("x..x"), called=flags("xxxx"))
    j = answered(40, called=called, holds_suspicious=called, kept_as_nodule="x" * 40, in_distribution="x" * 40)
    return study_of(n, j, cases, candidates=candidates, candidate_answers=of_candidates)


def test_each_figure_is_of_the_nodules_it_says(study: Study, config: Config) -> None:
    found = {name: figure.value for name, figure in measure(study, config).items()}
    assert (found["sensitivity"], found["specificity"]) == (1.0, 1.0)  # those of one reader would make it 0.5
    assert found["indeterminate_called_suspicious"] == pytest.approx(0.2)
    assert found["specificity_with_indeterminate"] == pytest.approx(0.9)
    assert (found["luna_nodules_kept"], found["luna_negatives_refused"]) == (0.5, 0.5)
    assert (found["luna_negatives_called"], found["luna_negatives_kept_and_called"]) == (1.0, 0.5)
    assert found["auc"] != found["auc_any_readers"]


def test_decisions_are_counted_by_the_verdict_of_enough_readers(study: Study, dataset: Dataset, config: Config) -> None:
    found = describe_study(study, dataset, config, "pytest", MEASURED_ON, FITTED)
    assert {group: sum(counts.values()) for group, counts in found.decisions.items()} == dict.fromkeys(GROUPS, 10)
    called = {group: counts["cancer_suspected"] for group, counts in found.decisions.items()}
    assert called == {"suspicious": 10, "indeterminate": 2, "benign": 0}
    assert (found.nodules, found.all_nodules) == (20, 40)


def test_a_class_of_just_enough_nodules_is_measured(study: Study, config: Config) -> None:
    assert MIN_OF_CLASS == 10
    small = next(group for group in measure_subgroups(study, config) if group.axis == "diameter")
    assert (small.nodules, small.suspicious) == (20, 10)
    assert {"auc", "sensitivity", "specificity"} <= set(small.figures)
    fewer = replace(
        study, nodules=replace(study.nodules, median=np.where(np.arange(40) == 0, 3.0, study.nodules.median))
    )
    small = next(group for group in measure_subgroups(fewer, config) if group.axis == "diameter")
    assert (small.suspicious, "sensitivity" in small.figures, "specificity" in small.figures) == (9, False, True)


def test_subgroups_by_readers_leave_out_the_indeterminate(study: Study, config: Config) -> None:
    by_readers = {g.name: g.nodules for g in measure_subgroups(study, config) if g.axis == "readers"}
    assert by_readers == {"1": 10, "3": 20}  # all ten with four readers are indeterminate


def test_the_probability_is_ranked_with_the_mean_rating(study: Study, config: Config) -> None:
    falling = replace(study.nodules, mean=-study.answers.probability)
    found = measure(replace(study, nodules=falling), config)
    assert found["spearman_malignancy"].value == pytest.approx(-1)


def test_a_gain_that_may_be_nothing_is_no_gain() -> None:
    goal = Goal("gain", "above 0", "gain", low=0.0, surely=True)
    assert goal.compare({"gain": Interval(value=0.02, low=0.0, high=0.03)}).met is False


def test_the_share_called_foreign_is_the_rest_with_its_interval_turned_round() -> None:
    targets = compare_targets({"in_distribution": Interval(value=0.99, low=0.98, high=0.995)})
    reached = next(t.reached for t in targets if t.figure == "nodules_out_of_distribution")
    assert reached is not None
    assert (reached.value, reached.low, reached.high) == pytest.approx((0.01, 0.005, 0.02))


def test_the_patch_baseline_learns_from_nothing_indeterminate(dataset: Dataset, config: Config) -> None:
    unsure = tuple(replace(n, malignancy=(3, 3, 3)) if k % 8 == 1 else n for k, n in enumerate(dataset.nodules))
    brighter = tuple(replace(n, hu=n.hu[::-1].copy()) if n.suspicion == "indeterminate" else n for n in unsure)
    one, other = (logistic_scores(nodules, config.input) for nodules in (unsure, brighter))
    decided = np.array([n.suspicion != "indeterminate" for n in unsure])
    np.testing.assert_array_equal(one[decided], other[decided])
