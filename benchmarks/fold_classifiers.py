"""Classifiers that have not seen what a benchmark asks them about, as bundles like the shipped one.

    python -m benchmarks.fold_classifiers --data DIR --evaluation DIR --out runs/default/folds

exports the networks of a cross-validation, and one that leaves two folds out, which it trains first. Each is calibrated
by the held-out predictions of the folds that it has seen: the ones it leaves out decide nothing. Their manifests repeat
the figures of the whole cross-validation and are for benchmarks only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from training.data.datasets import read_dataset
from training.data.nodules import Dataset
from training.evaluation.cross_fitting import fit_calibration
from training.evaluation.held_out import HeldOut, load
from training.evaluation.results import HELD_OUT_FILE, Evaluation, read_evaluation
from training.fitting.artefacts import NETWORK_FILE, describe, read_trained, write_network
from training.fitting.config import Config, load_config
from training.fitting.train import TrainedNetwork, train
from training.reporting.export import export_bundle

# By name, the folds that each has not seen: those of a scan's patient and of the nodules planted into that scan.
LEFT_OUT: Final[Mapping[str, tuple[int, ...]]] = {"fold4": (4,), "fold1": (0, 1), "fold0": (0,)}
VERSION: Final = "1"


def bundle_of(folder: Path, name: str) -> Path:
    """Where the bundle of a name in LEFT_OUT lies."""
    return folder / name / VERSION


def left_out(dataset: Dataset, folds: Sequence[int]) -> Dataset:
    """What a network may see that leaves `folds` out."""
    return Dataset(
        tuple(n for n in dataset.nodules if n.fold not in folds),
        tuple(c for c in dataset.candidates if c.fold not in folds),
        dataset.digests,
        false_findings=tuple(f for f in dataset.false_findings if f.fold not in folds),
    )


def network_without(
    folds: Sequence[int], dataset: Dataset, config: Config, evaluation: Path, out: Path
) -> TrainedNetwork:
    """The network of the cross-validation that left a single fold out, or one trained into `out`."""
    folder = evaluation / f"fold{folds[0]}" if len(folds) == 1 else out
    if not (folder / NETWORK_FILE).is_file():
        write_network(folder, train(dataset, config, label=f"without {folds}", folder=folder))
    return read_trained(folder)


def export_fold(
    name: str, dataset: Dataset, held_out: HeldOut, measured: Evaluation, config: Config, evaluation: Path, out: Path
) -> None:
    """Write the bundle of a name in LEFT_OUT."""
    folds = LEFT_OUT[name]
    seen = left_out(dataset, folds)
    network = network_without(folds, seen, config, evaluation, out / "trained" / name)
    fitted = fit_calibration(held_out.where(~np.isin(held_out.fold, folds)), config)
    export_bundle(
        describe(network, seen, config),
        measured.model_copy(update={"calibration": fitted}),
        bundle_of(out, name),
        force=True,
    )


def main() -> None:
    """Parse arguments and export each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/default.toml"))
    for argument in ("data", "evaluation", "out"):
        parser.add_argument(f"--{argument}", type=Path, required=True)
    given = parser.parse_args()
    config = load_config(given.config)
    dataset, measured = read_dataset(given.data, config.scans), read_evaluation(given.evaluation)
    held_out, _ = load(given.evaluation / HELD_OUT_FILE)
    for name in LEFT_OUT:
        export_fold(name, dataset, held_out, measured, config, given.evaluation, given.out)
        sys.stdout.write(f"wrote {bundle_of(given.out, name)}\n")


if __name__ == "__main__":
    main()
