"""Figures, baselines, subgroups and targets on numbers that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.inference.bundle import Interval
from tests.training.conftest import TinyRun
from tests.training.evaluation.hand_made import answers, table
from training.data.nodules import Dataset
from training.data.ratings import RATED, read_ratings
from training.data.references import References, read_references
from training.evaluation.baselines import SIDE, coarse_pixels, logistic_scores
from training.evaluation.ceilings import CEILINGS, reader_auc_figures, reader_rank_figures
from training.evaluation.cross_fitting import DECISIONS, Answers
from training.evaluation.figures import suspicion_figures
from training.evaluation.held_out import truth_of
from training.evaluation.meanings import MEANINGS
from training.evaluation.readers import pair_readers
from training.evaluation.results import evaluate
from training.evaluation.study import PredictionsDiffer, Study, cross_validated, in_fold_order
from training.evaluation.subgroups import MIN_OF_CLASS, SIZE_BANDS_MM, measure_subgroups, select
from training.evaluation.targets import GOALS, Goal, compare_targets
from training.fitting.config import Config


@pytest.fixture(scope="module")
def study(tiny_run: TinyRun, dataset: Dataset, config: Config, generated_data: Path) -> Study:
    """The tiny run with every baseline."""
    references = read_references(generated_data)
    return cross_validated(tiny_run.held_out, tiny_run.candidates, dataset, config, references)


def test_sets_and_decisions() -> None:
    said = answers(
        called=[1, 1, 0, 0, 1],
        holds_suspicious=[1, 1, 0, 0, 1],
        holds_benign=[0, 1, 1, 0, 0],
        kept_as_nodule=[1, 1, 1, 1, 0],
        in_distribution=[1, 1, 1, 1, 1],
    )
    said = said.where(np.ones(5, np.bool_))
    booleans = Answers(**{name: getattr(said, name).astype(bool) for name in Answers.__slots__})
    assert booleans.set_size.tolist() == [1, 2, 1, 0, 1]
    assert booleans.decisions.tolist() == ["cancer_suspected", "indeterminate", "normal", "indeterminate", "rejected"]


def test_set_size_is_the_mean_number_of_labels(config: Config) -> None:
    said = answers(probability=[0.1, 0.5, 0.9, 0.4])
    said.holds_suspicious[1:3] = said.holds_benign[:2] = True  # sizes 1, 2, 1, 0
    assert suspicion_figures(table(4), said, config)["set_size"](np.arange(4)) == 1.0


def test_without_a_diameter_nothing_is_compared_with_it(config: Config) -> None:
    unknown = table(2, true_diameter_mm=np.array([5.0, np.nan]))
    names = suspicion_figures(unknown, answers(probability=[0.1, 0.9]), config)
    assert "auc" in names
    assert not [name for name in names if "diameter" in name]


def test_one_reader_against_the_others() -> None:
    # Columns: malignancy and seven traits, all alike here.
    given = {7: np.array([[5], [4], [2]]) * np.ones(len(RATED)), 8: np.array([[1], [2]]) * np.ones(len(RATED))}
    pairs = pair_readers([8, 7], given, 3)
    assert pairs.nodule.tolist() == [1, 1, 1]  # nodule 8 has two readers only
    assert pairs.one[:, 0].tolist() == [5, 4, 2]
    assert pairs.others_mean[:, 0].tolist() == [3, 3.5, 4.5]
    assert pairs.others_median.tolist() == [3, 3.5, 4.5]
    assert pairs.decided.tolist() == [False, True, True]


def test_the_reader_and_the_network_are_measured_on_the_same_pairs() -> None:
    positive, everything = np.array([True, True, False, False]), np.arange(4)
    one, network = np.array([4.0, 3.0, 3.0, 1.0]), np.array([0.9, 0.2, 0.3, 0.1])
    found = {k: f(everything) for k, f in reader_auc_figures(positive, one, network).items()}
    assert found == {"auc_one_reader": 0.875, "auc_against_other_readers": 0.75, "auc_gain_over_one_reader": -0.125}
    ranked = reader_rank_figures("margin", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 3, 2]))
    assert ranked["spearman_gain_over_one_reader_margin"](np.arange(3)) == pytest.approx(-0.5)


def test_ratings_are_read_for_every_reader(generated_data: Path, dataset: Dataset, tmp_path: Path) -> None:
    ratings = read_ratings(generated_data / "lidc-nodules" / "nodules.csv")
    first = dataset.nodules[0]
    assert ratings[first.nodule_id][:, 0].tolist() == list(first.malignancy)
    np.testing.assert_allclose(ratings[first.nodule_id][:, 1:].mean(axis=0), first.traits)
    assert read_ratings(tmp_path / "nodules.csv") == {}


def test_ratings_of_another_table_are_not_used(tiny_run: TinyRun, dataset: Dataset, config: Config) -> None:
    strangers = {n.nodule_id: np.full((4, len(RATED)), 5.0) for n in dataset.nodules}
    study = cross_validated(tiny_run.held_out, tiny_run.candidates, dataset, config, References(strangers))
    assert len(study.readers.nodule) == 0


def test_readers_who_are_more_than_there_were_and_smaller_patches_of_a_lesion_agree_on_nothing(
    tiny_run: TinyRun, dataset: Dataset, config: Config
) -> None:
    first, second, one, other = dataset.nodules[:4]  # two of each patient
    crowd = replace(first, lesion="crowd", malignancy=(5, 4, 5, 4, 5))
    parts = replace(one, lesion="one"), replace(other, lesion="one")
    changed = replace(dataset, nodules=(crowd, second, *parts, *dataset.nodules[4:]))
    ratings = {n.nodule_id: np.array(n.malignancy)[:, None] * np.ones(len(RATED)) for n in changed.nodules}
    cases = in_fold_order(changed)
    said = table(len(cases), **truth_of(cases))
    study = cross_validated(said, tiny_run.candidates, changed, config, References(ratings))
    smaller = min(parts, key=lambda n: n.diameter_mm)
    paired = {cases[k].nodule_id for k in study.readers.nodule.tolist()}
    assert paired == {n.nodule_id for n in changed.nodules} - {crowd.nodule_id, smaller.nodule_id}


def test_logistic_regression_never_sees_its_own_fold(dataset: Dataset, config: Config) -> None:
    scores = logistic_scores(dataset.nodules, config.input)
    assert np.isfinite(scores).all()
    one_fold = [n for n in dataset.nodules if n.fold == 0]
    assert np.isnan(logistic_scores(one_fold, config.input)).all()
    assert coarse_pixels(one_fold, config.input).shape == (len(one_fold), SIDE * SIDE)


def test_predictions_of_other_nodules_are_refused(tiny_run: TinyRun, dataset: Dataset, config: Config) -> None:
    fewer = Dataset(dataset.nodules[:-1], dataset.candidates)
    with pytest.raises(PredictionsDiffer, match="not those of the data"):
        cross_validated(tiny_run.held_out, tiny_run.candidates, fewer, config, References())


def test_every_nodule_is_in_one_size_band_and_one_texture(study: Study, config: Config) -> None:
    for axis in ("diameter", "texture", "manufacturer", "readers"):
        flags = [chosen for kind, _, chosen in select(study, config) if kind == axis]
        assert (np.sum(flags, axis=0) <= 1).all()
    assert [band[0] for band in SIZE_BANDS_MM[1:]] == [6, 10, 20]


def test_band_edges_belong_to_the_upper_band(study: Study, config: Config) -> None:
    sizes = np.resize([5.99, 6.0, 10.0, 20.0], len(study.cases))
    texture = np.resize([[1.9] * 7, [2.0] * 7, [3.9] * 7, [4.0] * 7], (len(study.cases), 7))
    medians = np.full(len(study.cases), 2.0)
    n = table(len(study.cases), true_diameter_mm=sizes, true_traits=texture, median=medians)
    other = replace(study, nodules=n)
    found = {name: np.flatnonzero(flags)[:3].tolist() for _, name, flags in select(other, config)}
    assert [found[band[2]][0] for band in SIZE_BANDS_MM] == [0, 1, 2, 3]
    assert (found["non-solid"][0], found["part-solid"][:2], found["solid"][0]) == (0, [1, 2], 3)


def test_a_subgroup_counts_and_leaves_out_what_rests_on_few(study: Study, config: Config) -> None:
    groups = measure_subgroups(study, config)
    by_maker = [g for g in groups if g.axis == "manufacturer"]
    assert [(g.name, g.nodules) for g in by_maker] == [("generated", sum(g.nodules for g in by_maker))]
    for group in groups:
        if min(group.suspicious, group.nodules - group.suspicious) < MIN_OF_CLASS:
            assert "auc" not in group.figures
        assert ("dice" in group.figures) == (group.nodules >= MIN_OF_CLASS)


@pytest.mark.parametrize(
    ("low", "value", "high", "met", "certain"),
    [(0.96, 0.98, 0.99, True, False), (0.975, 0.98, 0.99, True, True), (0.9, 0.93, 0.96, False, True),
     (0.9, 0.93, 0.98, False, False)],
)  # fmt: skip
def test_a_target_is_met_by_its_value_and_certain_by_its_interval(
    low: float, value: float, high: float, *, met: bool, certain: bool
) -> None:
    target = Goal("AUC", "at least 0.97", "auc", low=0.97).compare({"auc": Interval(value=value, low=low, high=high)})
    assert (target.met, target.certain) == (met, certain)


def test_a_gain_must_lie_above_zero_with_its_whole_interval() -> None:
    goal = Goal("gain", "above 0", "gain", low=0.0, surely=True)
    assert goal.compare({"gain": Interval(value=0.01, low=-0.01, high=0.03)}).met is False
    assert goal.compare({"gain": Interval(value=0.02, low=0.01, high=0.03)}).met is True
    assert goal.compare({}).met is None


@pytest.mark.parametrize(("ece", "met"), [(0.06, True), (0.061, False)])
def test_the_calibration_error_is_held_against_chance(ece: float, *, met: bool) -> None:
    null = Interval(value=0.03, low=0.0, high=0.06)
    goal = next(goal for goal in GOALS if goal.figure == "ece")
    found = goal.compare({"ece": Interval(value=ece, low=0.02, high=0.2), "ece_if_perfect": null})
    assert (found.met, found.certain) == (met, True)
    assert "0.060 here" in found.wanted
    assert goal.compare({"ece": null}).met is None


@pytest.mark.parametrize(
    ("low", "high", "met"), [(0.8, 1.1, True), (1.0, 1.1, True), (1.01, 1.3, False), (0.5, 0.99, False)]
)
def test_a_slope_is_right_where_its_interval_holds_1(low: float, high: float, *, met: bool) -> None:
    goal = next(goal for goal in GOALS if goal.figure == "calibration_slope")
    found = goal.compare({"calibration_slope": Interval(value=(low + high) / 2, low=low, high=high)})
    assert (found.met, found.certain) == (met, True)
    assert goal.compare({}).met is None


def test_no_target_is_above_what_the_labels_carry() -> None:
    lows = {goal.figure: goal.low for goal in GOALS if isinstance(goal, Goal)}
    assert (lows["auc"], lows["size_matched_auc"]) == (0.96, 0.80)
    surely = {goal.figure for goal in GOALS if isinstance(goal, Goal) and goal.surely}
    assert {"auc_gain_over_diameter", "auc_gain_over_one_reader"} <= surely


def test_the_evaluation_holds_subgroups_decisions_targets_and_baselines(
    tiny_run: TinyRun, study: Study, dataset: Dataset, config: Config, generated_data: Path
) -> None:
    references = read_references(generated_data)
    found = evaluate(tiny_run.held_out, tiny_run.candidates, dataset, config, "pytest", references)
    assert {"auprc", "set_size", "auc_one_reader", "auc_logistic_patch", "spearman_one_reader_margin"} <= set(
        found.figures
    )
    assert set(found.figures) | set(CEILINGS) | set(CEILINGS.values()) <= set(MEANINGS)
    assert sum(sum(counts.values()) for counts in found.decisions.values()) == len(study.cases)
    assert set(found.decisions["benign"]) == set(DECISIONS)
    assert [t.name for t in found.targets] == [goal.name for goal in GOALS]
    foreign = next(t for t in compare_targets(found.figures) if t.figure == "nodules_out_of_distribution")
    assert foreign.reached is not None
    assert foreign.reached.value == pytest.approx(1 - found.figures["in_distribution"].value)


def test_an_evaluation_without_the_later_fields_can_still_be_read(tiny_run: TinyRun) -> None:
    older = tiny_run.evaluation.model_dump(exclude={"warnings", "subgroups", "decisions", "targets", "counts"})
    assert type(tiny_run.evaluation).model_validate(older).figures == tiny_run.evaluation.figures
