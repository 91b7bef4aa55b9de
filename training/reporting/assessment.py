"""What scripts/evaluate.py does: predictions by cross-validation or by a bundle, then figures and the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from app.inference.bundle import load_bundle
from training.data.nodules import Dataset
from training.evaluation.bundle_study import evaluate_bundle, with_input
from training.evaluation.cross_validation import cross_validate
from training.evaluation.held_out import load, save
from training.evaluation.readers import Ratings, read_ratings
from training.evaluation.results import HELD_OUT_FILE, Evaluation, evaluate_study
from training.evaluation.study import cross_validated
from training.fitting.config import Config
from training.reporting import outlines
from training.reporting.export import load_graph
from training.reporting.report import write_evaluation

RATINGS_TABLE = Path("lidc-nodules") / "nodules.csv"


def assess_recipe(
    dataset: Dataset, config: Config, ratings: Ratings, folder: Path, command: str, *, again: bool, restart: bool
) -> Evaluation:
    """Cross-validate, unless `again` reads what `folder` holds, and write figures and report into `folder`.

    Raises PredictionsDiffer when the stored predictions are of other data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not again:
        save(folder / HELD_OUT_FILE, *cross_validate(dataset, config, folder, restart=restart))
    study = cross_validated(*load(folder / HELD_OUT_FILE), dataset, config, ratings)
    evaluation = evaluate_study(study, dataset, config, command)
    write_evaluation(folder, study, evaluation, config, partial(outlines.of_folds, folder, config.input))
    return evaluation


def assess_bundle(
    path: Path, dataset: Dataset, config: Config, ratings: Ratings, folder: Path, command: str
) -> Evaluation:
    """Judge `dataset` by the bundle in `path` as served, and write figures and report into `folder`.

    Raises BundleError when the bundle does not match its manifest.
    """
    bundle, graph = load_bundle(path), load_graph(path)
    own = with_input(config, bundle.manifest)
    study, evaluation = evaluate_bundle(bundle, graph, dataset, own, ratings, command)
    write_evaluation(folder, study, evaluation, own, partial(outlines.of_graph, graph, own.input))
    return evaluation


def ratings_beside(data: Path) -> Ratings:
    """Every reader's ratings, where `data` is laid out as the development data; empty otherwise."""
    return read_ratings(data / RATINGS_TABLE)
