"""Nothing that decides about a fold has seen the fold: not its labels, and not what the networks say about it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.evaluation.hand_made import FOLDS, candidates_of, knowing_what_they_saw, overlapping, table
from training.data.nodules import TRAIT_SCALES, Dataset, Nodule
from training.data.references import References
from training.evaluation.baselines import logistic_scores
from training.evaluation.cross_fitting import (
    Answers,
    CandidateAnswers,
    answer,
    cross_fitted,
    cross_fitted_candidates,
    diameter_threshold_mm,
    fit_calibration,
    without_fold,
)
from training.evaluation.cross_validation import cross_validate
from training.evaluation.held_out import HeldOut, truth_of
from training.evaluation.study import cross_validated
from training.fitting.config import Config

COUNT = 400
EVERY_FOLD = pytest.mark.parametrize("fold", range(FOLDS))


@pytest.fixture(scope="module")
def strict(config: Config) -> Config:
    """Thresholds that refuse a fifth of the nodules, so that one that moves is seen."""
    calibration = config.calibration.model_copy(update={"nodules_kept": 0.8, "in_distribution_kept": 0.8})
    return config.model_copy(update={"calibration": calibration})


def flipped(nodules: HeldOut, fold: int) -> HeldOut:
    """The labels of one fold, and nothing else, turned round."""
    inside = nodules.fold == fold
    turned = {name: np.where(inside, 6 - getattr(nodules, name), getattr(nodules, name)) for name in ("median", "mean")}
    return replace(nodules, **turned)


def spoiled(nodules: HeldOut, which: NDArray[np.bool_]) -> HeldOut:
    """Absurd predictions and sizes of some nodules."""
    absurd = {"malignancy": 20.0, "nodule": -20.0, "distance": 100.0, "soft_diameter_mm": 2.0, "true_diameter_mm": 1.0,
              "negative_malignancy": 20.0}  # fmt: skip
    return replace(nodules, **{name: np.where(which, value, getattr(nodules, name)) for name, value in absurd.items()})


def differing(one: Answers, other: Answers, where: NDArray[np.bool_]) -> set[str]:
    """Which answers differ somewhere in `where`."""
    first, second = one.where(where), other.where(where)
    return {name for name in Answers.__slots__ if not np.array_equal(getattr(first, name), getattr(second, name))}


@EVERY_FOLD
def test_labels_of_a_fold_decide_nothing_about_it(strict: Config, fold: int) -> None:
    nodules = overlapping(COUNT)
    inside = nodules.fold == fold
    before, after = cross_fitted(nodules, strict), cross_fitted(flipped(nodules, fold), strict)
    assert not differing(before, after, inside)
    assert {"probability", "called", "called_by_diameter", "holds_suspicious", "holds_benign"} <= differing(
        before, after, ~inside
    )


@EVERY_FOLD
def test_predictions_of_a_fold_decide_nothing_about_its_other_nodules(strict: Config, fold: int) -> None:
    nodules = overlapping(COUNT)
    inside = nodules.fold == fold
    spoiling = inside & (np.cumsum(inside) % 2 == 0)
    before, after = cross_fitted(nodules, strict), cross_fitted(spoiled(nodules, spoiling), strict)
    assert not differing(before, after, inside & ~spoiling)
    assert differing(before, after, ~inside) == set(Answers.__slots__)


@EVERY_FOLD
def test_a_fold_is_answered_for_by_what_all_the_others_decide(strict: Config, fold: int) -> None:
    nodules = overlapping(COUNT)
    inside = nodules.fold == fold
    others = nodules.where(~inside)
    wanted = answer(nodules.where(inside), fit_calibration(others, strict), diameter_threshold_mm(others, strict))
    assert not differing(cross_fitted(nodules, strict).where(inside), wanted, np.ones(int(inside.sum()), np.bool_))
    calibrations = [fit_calibration(without_fold(n, fold), strict) for n in (nodules, flipped(nodules, fold))]
    assert calibrations[0] == calibrations[1] == fit_calibration(others, strict)


@EVERY_FOLD
def test_sets_of_each_size_are_made_without_the_fold_they_are_asked_about(strict: Config, fold: int) -> None:
    """Half of one size and class of a fold score absurdly: the others' sets move, those of its other half do not."""
    nodules = overlapping(COUNT)
    inside = nodules.fold == fold
    bin_of = (nodules.soft_diameter_mm >= 10) & (nodules.soft_diameter_mm < 20)
    watched = inside & bin_of & nodules.suspicious & (np.cumsum(inside & bin_of & nodules.suspicious) % 2 == 0)
    scores = np.where(inside & bin_of & nodules.suspicious & ~watched, -9.0, nodules.malignancy)
    # The line stays as it is: what moves is the quantile of the size, and nothing else.
    lines = [fit_calibration(without_fold(n, fold), strict) for n in (nodules, replace(nodules, malignancy=scores))]
    assert lines[0].quantiles == lines[1].quantiles
    before, after = cross_fitted(nodules, strict), cross_fitted(replace(nodules, malignancy=scores), strict)
    assert not differing(before, after, watched)
    assert "holds_suspicious" in differing(before, after, ~inside & bin_of)


@EVERY_FOLD
def test_which_sizes_are_pooled_is_decided_without_the_fold(strict: Config, fold: int) -> None:
    """Suspicious nodules below 10 mm that only one fold has make a bin for the others, and none for itself."""
    nodules = overlapping(COUNT)
    small = (nodules.fold == fold) & nodules.suspicious
    grown = replace(nodules, soft_diameter_mm=np.where(small, 4.0, np.maximum(nodules.soft_diameter_mm, 7.0)))
    for other in range(FOLDS):
        edges = fit_calibration(without_fold(grown, other), strict).quantiles["cancer_suspected"].edges_mm
        assert (10.0 in edges) == (other != fold)


@EVERY_FOLD
def test_candidates_of_a_fold_are_called_by_the_nodules_of_the_others(strict: Config, fold: int) -> None:
    nodules, candidates = overlapping(COUNT), candidates_of(COUNT)
    inside = candidates.fold == fold
    before = cross_fitted_candidates(candidates, nodules, strict)
    after = cross_fitted_candidates(candidates, spoiled(nodules, nodules.fold == fold), strict)
    for name in CandidateAnswers.__slots__:
        one, other = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one[inside], other[inside])
        assert (one[~inside] != other[~inside]).any()


def relabelled(nodule: Nodule) -> Nodule:
    """Every rating turned round on its scale."""
    traits = tuple(low + high - t for t, (low, high) in zip(nodule.traits, TRAIT_SCALES.values(), strict=True))
    return replace(nodule, malignancy=tuple(6 - rating for rating in nodule.malignancy), traits=traits)


def with_labels_turned(dataset: Dataset, fold: int) -> Dataset:
    return replace(dataset, nodules=tuple(relabelled(n) if n.fold == fold else n for n in dataset.nodules))


def test_the_patch_baseline_learns_nothing_from_the_labels_of_the_fold_it_scores(
    dataset: Dataset, config: Config
) -> None:
    inside = np.array([n.fold == 1 for n in dataset.nodules])
    before = logistic_scores(dataset.nodules, config.input)
    after = logistic_scores(with_labels_turned(dataset, 1).nodules, config.input)
    np.testing.assert_array_equal(before[inside], after[inside])
    assert (before[~inside] != after[~inside]).all()


def test_nothing_of_a_study_follows_from_the_labels_of_the_fold_itself(dataset: Dataset, config: Config) -> None:
    """The whole of it: answers and baselines of one fold, from the nodules and the ratings up."""
    turned = with_labels_turned(dataset, 1)
    before, after = (
        cross_validated(predicted(d), candidates_of(8), d, config, References()) for d in (dataset, turned)
    )
    inside = before.nodules.fold == 1
    assert not differing(before.answers, after.answers, inside)
    np.testing.assert_array_equal(before.logistic[inside], after.logistic[inside])
    assert differing(before.answers, after.answers, ~inside)


def predicted(dataset: Dataset) -> HeldOut:
    """What stays the same whatever the labels are, beside the labels."""
    cases = [n for fold in dataset.folds for n in dataset.nodules if n.fold == fold]
    truth = truth_of(cases)
    scores = np.random.default_rng(2).normal(0, 1, len(cases))
    return table(
        len(cases),
        patient=np.array([n.patient for n in cases]),
        lesion=truth["lesion"],
        outlines=truth["outlines"],
        fold=np.array([n.fold for n in cases]),
        median=np.array([n.median_malignancy for n in cases]),
        readers=np.array([n.readers for n in cases]),
        true_diameter_mm=np.array([n.diameter_mm for n in cases]),
        malignancy=scores,
    )


def test_network_and_statistics_of_a_fold_are_made_without_it(
    dataset: Dataset, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing_what_they_saw(monkeypatch)
    watched = next(n for n in dataset.nodules if n.fold == 1).patient
    changed = tuple(
        replace(relabelled(n), hu=n.hu + np.int16(100)) if n.fold == 1 and n.patient != watched else n
        for n in dataset.nodules
    )
    (before, _), (after, _) = (cross_validate(replace(dataset, nodules=n), config) for n in (dataset.nodules, changed))
    inside, others = (before.patient == watched), before.fold == 0
    for field in fields(HeldOut):
        np.testing.assert_array_equal(getattr(before, field.name)[inside], getattr(after, field.name)[inside])
    for name in ("malignancy", "nodule", "distance"):
        assert (getattr(before, name)[others] != getattr(after, name)[others]).all()
