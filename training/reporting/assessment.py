"""What scripts/evaluate.py does: predictions by cross-validation or by a bundle, then figures and the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from app.inference.bundle import load_bundle
from training.data.nodules import Dataset
from training.data.references import References
from training.evaluation.bundle_study import evaluate_bundle, with_input
from training.evaluation.cross_validation import cross_validate
from training.evaluation.held_out import load, save
from training.evaluation.measurable import require_both_classes, with_readers_of
from training.evaluation.results import HELD_OUT_FILE, Evaluation, evaluate_study, recipe_of
from training.evaluation.study import PredictionsDiffer, Study, cross_validated
from training.fitting.checkpoints import facts_in
from training.fitting.config import Config
from training.fitting.history import LOG_FILE, read_log
from training.fitting.identity import Facts, differences
from training.reporting import outlines
from training.reporting.bundles import load_graph
from training.reporting.predictions_table import PREDICTIONS_TABLE, write_predictions
from training.reporting.report import Draw, Histories, write_evaluation


def assess_recipe(
    dataset: Dataset, config: Config, references: References, folder: Path, command: str, *, again: bool, restart: bool
) -> Evaluation:
    """Cross-validate, unless `again` reads what `folder` holds, and write figures and report into `folder`.

    Raises PredictionsDiffer when the stored predictions are of other data or another recipe, and DatasetMalformed when
    the data cannot be cross-validated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, remarks = with_readers_of(dataset, config)
    require_both_classes(dataset, config)
    if not again:
        save(folder / HELD_OUT_FILE, *cross_validate(dataset, config, folder, restart=restart), recipe_of(config))
    known = _predicted_by(folder / HELD_OUT_FILE, config)
    study = cross_validated(*load(folder / HELD_OUT_FILE), dataset, config, references)
    evaluation = evaluate_study(study, dataset, config, command, (*dataset.remarks, *remarks))
    evaluation = evaluation if known else evaluation.model_copy(update={"recipe": {}})
    draw = partial(outlines.of_folds, folder, config.input)
    return _written(folder, study, evaluation, config, draw, _histories(folder))


def assess_bundle(
    path: Path, dataset: Dataset, config: Config, references: References, folder: Path, command: str
) -> Evaluation:
    """Judge `dataset` by the bundle in `path` as served, and write figures and report into `folder`.

    Raises BundleError when the bundle does not match its manifest.
    """
    bundle, graph = load_bundle(path), load_graph(path)
    config, remarks = with_readers_of(dataset, config)
    own = with_input(config, bundle.manifest)
    study, evaluation = evaluate_bundle(bundle, graph, dataset, own, references, command, remarks)
    return _written(folder, study, evaluation, own, partial(outlines.of_graph, graph, own.input), {})


def _written(
    folder: Path, study: Study, evaluation: Evaluation, config: Config, draw: Draw, histories: Histories
) -> Evaluation:
    write_evaluation(folder, study, evaluation, config, draw, histories)
    write_predictions(folder / PREDICTIONS_TABLE, study)
    return evaluation


def _histories(folder: Path) -> Histories:
    """The steps of each fold's training, by the fold's name; none where its log is not there."""
    logs = sorted(folder.glob(f"fold*/{LOG_FILE}"))
    return {log.parent.name: history for log in logs if (history := read_log(log))}


def _predicted_by(predictions: Path, config: Config) -> bool:
    """Whether the predictions say of which recipe they are; raises PredictionsDiffer when it is another one.

    Operating point and coverage may be chosen anew: what networks say does not depend on them.
    """
    with np.load(predictions) as stored:
        there = _deciding(facts_in(stored))
    if there and (found := differences(there, _deciding(recipe_of(config)))):
        raise PredictionsDiffer(
            found=f"predictions of another configuration (there: stored, here: asked for): {'; '.join(found[:4])}",
            expected="the configuration that they were made with",
            remedy="Give its --config, or another --out, or run without --again.",
        )
    return bool(there)


def _deciding(facts: Facts) -> Facts:
    after = "calibration."
    return {k: v for k, v in facts.items() if not k.startswith(after) or k == f"{after}shrinkage"}
