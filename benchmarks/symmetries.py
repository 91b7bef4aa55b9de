"""Whether a nodule is ranked better by the mean over eight turned and mirrored patches than by one.

    python -m benchmarks.symmetries --data DIR --evaluation DIR --out docs/results/symmetries.json

asks the networks of a cross-validation, each about the fold that it left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final  # keras is untyped

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Interval
from benchmarks.serving.report import filled
from training.data.datasets import hold_out, read_dataset
from training.data.nodules import Dataset
from training.evaluation import metrics
from training.evaluation.cross_fitting import cross_fitted, decided
from training.evaluation.figures import intervals
from training.evaluation.held_out import HeldOut, load
from training.evaluation.metrics import Floats, Metric
from training.evaluation.results import HELD_OUT_FILE
from training.fitting.artefacts import read_trained
from training.fitting.config import Config, load_config
from training.fitting.samples import nodule_view
from training.fitting.train import predict

SYMMETRIES: Final = 8  # of a square: four turns, mirrored or not
COMMAND: Final = "make symmetries"
BEGIN: Final = "<!-- figures: make symmetries -->"
PROTOCOL: Final = (
    "Each fold by the network that left it out, calibrated without it; decided lesions, the largest patch of each. The "
    "mean is over the logits of eight patches. 95 % intervals over resamples of patients; gains are paired."
)


def turned(hu: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    """Patches (N, size, size) turned by `symmetry` quarters, mirrored from 4 on."""
    mirrored = hu[:, :, ::-1] if symmetry >= SYMMETRIES // 2 else hu
    return np.ascontiguousarray(np.rot90(mirrored, symmetry % 4, axes=(1, 2)))


def mean_logits(network: Any, hu: NDArray[np.float32]) -> Floats:
    """Malignancy logits (N,), the mean over all symmetries."""
    said = [predict(network, turned(hu, k)).malignancy for k in range(SYMMETRIES)]
    return np.asarray(np.mean(said, axis=0), np.float64)


def by_symmetries(dataset: Dataset, evaluation: Path, config: Config) -> Floats:
    """`mean_logits` of every nodule in the order of the cross-validation."""
    parts = []
    for fold in dataset.folds:
        network = read_trained(evaluation / f"fold{fold}").network
        _, outside = hold_out(dataset, fold)
        hu = np.stack([nodule_view(n, config.input.patch_spec).hu for n in outside.nodules])
        parts.append(mean_logits(network, hu))
    return np.concatenate(parts)


def compare(alone: HeldOut, logits: Floats, config: Config) -> dict[str, Interval]:
    """AUC and size-matched AUC of one patch and of the mean, and what the mean gains."""
    chosen = decided(alone, config)
    one, mean = (
        cross_fitted(held, config).where(chosen).probability for held in (alone, replace(alone, malignancy=logits))
    )
    n = alone.where(chosen)
    y, d, within_mm = n.suspicious, n.true_diameter_mm, config.evaluation.size_match_mm
    like_one, like_mean = (metrics.LikeSizePairs(y, p, d, within_mm) for p in (one, mean))
    table: dict[str, Metric] = {
        "auc_one": lambda i: metrics.auc(y[i], one[i]),
        "auc_mean": lambda i: metrics.auc(y[i], mean[i]),
        "auc_gain": lambda i: metrics.auc(y[i], mean[i]) - metrics.auc(y[i], one[i]),
        "size_matched_one": like_one,
        "size_matched_mean": like_mean,
        "size_matched_gain": lambda i: like_mean(i) - like_one(i),
    }
    return intervals(table, n.patient.tolist(), config)


def table_of(figures: dict[str, Interval]) -> str:
    """The figures as Markdown, one ranking a line."""
    lines = ["| ranking | one patch | mean of eight | gain |", "|---|---|---|---|"]
    for name, words in (("auc", "AUC"), ("size_matched", "size-matched AUC")):
        cells = (figures[f"{name}_{what}"] for what in ("one", "mean", "gain"))
        shown = " | ".join(f"{f.value:.3f} ({f.low:.3f} to {f.high:.3f})" for f in cells)
        lines.append(f"| {words} | {shown} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/default.toml"))
    for argument in ("data", "evaluation", "out"):
        parser.add_argument(f"--{argument}", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="Markdown file whose figures are replaced")
    given = parser.parse_args()
    config = load_config(given.config)
    dataset = read_dataset(given.data, config.scans)
    held_out, _ = load(given.evaluation / HELD_OUT_FILE)
    figures = compare(held_out, by_symmetries(dataset, given.evaluation, config), config)
    results = {"command": COMMAND, "protocol": PROTOCOL, "figures": {k: f.model_dump() for k, f in figures.items()}}
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if given.page is not None:
        text = f"{PROTOCOL}\n\n{table_of(figures)}"
        given.page.write_text(filled(given.page.read_text("utf-8"), text, BEGIN), "utf-8")


if __name__ == "__main__":
    main()
