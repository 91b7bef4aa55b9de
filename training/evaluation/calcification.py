"""Nodules with and without calcium: what is known of a nodule beyond its size is mostly this."""

from __future__ import annotations

from typing import Final

from app.inference.bundle import Interval
from training.data.nodules import TRAIT_SCALES
from training.evaluation import metrics
from training.evaluation.cross_fitting import Answers, decided
from training.evaluation.figures import all_known, intervals
from training.evaluation.held_out import HeldOut
from training.evaluation.metrics import Flags, Metric
from training.evaluation.study import Study
from training.fitting.config import Config

COLUMN: Final = list(TRAIT_SCALES).index("calcification")
CALCIFIED_BELOW: Final = 5.5  # mean rating; LIDC's 6 is "absent": of four readers more than one saw it, or one saw much
CALCIFICATION: Final = ("_calcified", "_not_calcified")


def is_calcified(nodules: HeldOut) -> tuple[Flags, Flags]:
    """(calcified, not calcified) in the order of CALCIFICATION, both (N,); neither where nobody rated it."""
    rated = nodules.true_traits[:, COLUMN]
    return rated < CALCIFIED_BELOW, rated >= CALCIFIED_BELOW


def calcification_figures(study: Study, config: Config) -> dict[str, Interval]:
    """AUC among nodules of like size with calcium and without, and how many calcified benign ones are called."""
    chosen, within_mm = decided(study.nodules, config), config.evaluation.size_match_mm
    found: dict[str, Interval] = {}
    for held, suffix in zip(is_calcified(study.nodules), CALCIFICATION, strict=True):
        n, j = study.nodules.where(chosen & held), study.answers.where(chosen & held)
        found |= intervals(_table(n, j, within_mm, suffix), n.patient.tolist(), config)
    return found


def _table(n: HeldOut, j: Answers, within_mm: float, suffix: str) -> dict[str, Metric]:
    y, p, d = n.suspicious, j.probability, n.true_diameter_mm
    table: dict[str, Metric] = {
        f"auc{suffix}": lambda i: metrics.auc(y[i], p[i]),
        f"benign_called{suffix}": lambda i: metrics.sensitivity(~y[i], j.called[i]),
    }
    if all_known(d):
        table[f"size_matched_auc{suffix}"] = metrics.LikeSizePairs(y, p, d, within_mm)
    return table
