"""From held-out predictions to figures with intervals, and to the calibration that the bundle ships.

Two different things are made of the same predictions. The calibration shipped is fitted on all of them. The figures
are cross-fitted: each fold is judged by a calibration and thresholds fitted on the other folds only, so nothing that
is reported was tuned on what it is reported on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Finding, Interval
from training import metrics
from training.calibrate import (
    Platt,
    conformal_quantiles,
    fit_platt,
    keep_above,
    operating_point,
    sigmoid,
)
from training.config import Config
from training.datasets import INDETERMINATE, TRAIT_SCALES, Dataset
from training.held_out import HeldOut, HeldOutCandidates
from training.metrics import Flags, Floats

EVALUATION_FILE = "evaluation.json"
HELD_OUT_FILE = "held_out.npz"
PROTOCOL = (
    "5-fold cross-validation grouped by patient; every nodule judged by a network, calibration and thresholds fitted "
    "without its fold; suspicious is a median rating above 3, benign below; nodules with at least {readers} readers "
    "and a median other than 3 unless the figure says otherwise; 95 % intervals from {resamples} bootstrap resamples "
    "of patients (of candidates for luna_*, which carry no patient)"
)


class Calibration(BaseModel):
    """Everything fitted on held-out predictions that the bundle needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float
    intercept: float
    threshold: float
    quantiles: dict[Finding, float]
    nodule_threshold: float
    distance_threshold: float


class Evaluation(BaseModel):
    """`evaluation.json`: the shipped calibration and the cross-fitted figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: str
    command: str
    protocol: str
    nodules: int
    patients: int
    all_nodules: int
    all_patients: int
    candidates: int
    data: dict[str, str]
    calibration: Calibration
    figures: dict[str, Interval]


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Cross-fitted answers for the same nodules as the `HeldOut` they belong to."""

    probability: Floats
    called: Flags
    called_by_diameter: Flags
    holds_suspicious: Flags
    holds_benign: Flags
    kept_as_nodule: Flags
    negative_refused: Flags  # False, too, where there is no negative
    in_distribution: Flags


def evaluate(
    nodules: HeldOut, candidates: HeldOutCandidates, dataset: Dataset, config: Config, command: str
) -> Evaluation:
    """Figures and calibration from held-out predictions."""
    decided = nodules.where(_decided(nodules, config))
    settings = config.evaluation
    return Evaluation(
        config=config.name,
        command=command,
        protocol=PROTOCOL.format(readers=settings.min_readers, resamples=settings.resamples),
        nodules=len(decided.fold),
        patients=len(set(decided.patient.tolist())),
        all_nodules=len(nodules.fold),
        all_patients=len(set(nodules.patient.tolist())),
        candidates=len(candidates.fold),
        data=dict(dataset.digests),
        calibration=fit_calibration(nodules, config),
        figures=_figures(nodules, candidates, config),
    )


def fit_calibration(nodules: HeldOut, config: Config) -> Calibration:
    """Fit everything on the nodules given: suspicion on the decided ones, the other thresholds on all of them."""
    decided, wanted = nodules.where(_decided(nodules, config)), config.calibration
    platt = fit_platt(decided.malignancy, decided.suspicious)
    probability = platt.probability(decided.malignancy)
    return Calibration(
        slope=platt.slope,
        intercept=platt.intercept,
        threshold=operating_point(probability, decided.suspicious, wanted.sensitivity),
        quantiles=conformal_quantiles(probability, decided.suspicious, wanted.coverage),
        nodule_threshold=keep_above(sigmoid(nodules.nodule), wanted.nodules_kept),
        distance_threshold=-keep_above(-nodules.distance, wanted.in_distribution_kept),
    )


def _decided(nodules: HeldOut, config: Config) -> Flags:
    return np.asarray((nodules.readers >= config.evaluation.min_readers) & (nodules.median != INDETERMINATE))


def _cross_fitted(nodules: HeldOut, config: Config) -> _Judged:
    """Judge each fold by what the other folds decide. A single fold is judged by itself (tests only)."""
    judged, order = [], []
    for fold in np.unique(nodules.fold):
        inside = nodules.fold == fold
        others = nodules.where(~inside) if not inside.all() else nodules
        judged.append(_judge(nodules.where(inside), others, config))
        order.append(np.flatnonzero(inside))
    back = np.argsort(np.concatenate(order))
    names = _Judged.__slots__
    return _Judged(**{name: np.concatenate([getattr(j, name) for j in judged])[back] for name in names})


def _judge(nodules: HeldOut, others: HeldOut, config: Config) -> _Judged:
    fitted = fit_calibration(others, config)
    decided = others.where(_decided(others, config))
    by_diameter = operating_point(decided.true_diameter_mm, decided.suspicious, config.calibration.sensitivity)
    probability = Platt(fitted.slope, fitted.intercept).probability(nodules.malignancy)
    return _Judged(
        probability=probability,
        called=probability >= fitted.threshold,
        called_by_diameter=nodules.true_diameter_mm >= by_diameter,
        holds_suspicious=1 - probability <= fitted.quantiles["cancer_suspected"],
        holds_benign=probability <= fitted.quantiles["normal"],
        kept_as_nodule=sigmoid(nodules.nodule) >= fitted.nodule_threshold,
        negative_refused=sigmoid(nodules.negative) < fitted.nodule_threshold,
        in_distribution=nodules.distance <= fitted.distance_threshold,
    )


def _figures(nodules: HeldOut, candidates: HeldOutCandidates, config: Config) -> dict[str, Interval]:
    judged = _cross_fitted(nodules, config)
    chosen = _decided(nodules, config)
    few = nodules.median != INDETERMINATE
    read = nodules.readers >= config.evaluation.min_readers
    figures: dict[str, metrics.Metric] = {}
    figures |= _suspicion_figures(nodules.where(chosen), _subset(judged, chosen), config)
    tables = [(chosen, figures)]
    tables.append((read, _rating_figures(nodules.where(read), _subset(judged, read))))
    tables.append((few, _ranking(nodules.where(few), "_any_readers")))
    tables.append((np.ones_like(read), _finding_figures(nodules, judged)))
    measured: dict[str, Interval] = {}
    for subset, table in tables:
        patients = nodules.patient[subset].tolist()
        measured |= _measured(table, patients, config)
    return measured | _candidate_figures(candidates, nodules, config)


def _suspicion_figures(n: HeldOut, j: _Judged, config: Config) -> dict[str, metrics.Metric]:
    """Suspicious against benign, decided nodules only."""
    y, p, d = n.suspicious, j.probability, n.true_diameter_mm
    within, bins = config.evaluation.size_match_mm, config.evaluation.ece_bins
    single = j.holds_suspicious ^ j.holds_benign
    firm = single & (j.called == j.holds_suspicious)
    return _ranking(n, "") | {
        "auc_gain_over_diameter": lambda i: metrics.auc(y[i], n.malignancy[i]) - metrics.auc(y[i], d[i]),
        "size_matched_auc": lambda i: metrics.size_matched_auc(y[i], n.malignancy[i], d[i], within),
        "size_matched_auc_diameter_alone": lambda i: metrics.size_matched_auc(y[i], d[i], d[i], within),
        "sensitivity": lambda i: metrics.sensitivity(y[i], j.called[i]),
        "specificity": lambda i: metrics.specificity(y[i], j.called[i]),
        "sensitivity_diameter_alone": lambda i: metrics.sensitivity(y[i], j.called_by_diameter[i]),
        "specificity_diameter_alone": lambda i: metrics.specificity(y[i], j.called_by_diameter[i]),
        "brier": lambda i: metrics.brier(y[i], p[i]),
        "ece": lambda i: metrics.expected_calibration_error(y[i], p[i], bins),
        "coverage_suspicious": lambda i: metrics.sensitivity(y[i], j.holds_suspicious[i]),
        "coverage_benign": lambda i: metrics.sensitivity(~y[i], j.holds_benign[i]),
        "decided": lambda i: metrics.share(firm[i]),
        "correct_when_decided": lambda i: metrics.share((j.called[i] == y[i])[firm[i]]),
    }


def _ranking(n: HeldOut, suffix: str) -> dict[str, metrics.Metric]:
    y = n.suspicious
    return {
        f"auc{suffix}": lambda i: metrics.auc(y[i], n.malignancy[i]),
        f"auc_diameter_alone{suffix}": lambda i: metrics.auc(y[i], n.true_diameter_mm[i]),
    }


def _rating_figures(n: HeldOut, j: _Judged) -> dict[str, metrics.Metric]:
    """All nodules with enough readers, the indeterminate ones among the not suspicious."""
    y, unsure = n.suspicious, n.median == INDETERMINATE
    figures = _ranking(n, "_with_indeterminate") | {
        "specificity_with_indeterminate": lambda i: metrics.specificity(y[i], j.called[i]),
        "indeterminate_called_suspicious": lambda i: metrics.sensitivity(unsure[i], j.called[i]),
        "spearman_malignancy": lambda i: metrics.spearman(n.mean[i], n.malignancy[i]),
    }
    for k, name in enumerate(TRAIT_SCALES):
        figures[f"spearman_{name}"] = lambda i, k=k: metrics.spearman(n.true_traits[i, k], n.traits[i, k])
    return figures


def _finding_figures(n: HeldOut, j: _Judged) -> dict[str, metrics.Metric]:
    """All nodules, whatever their ratings: outline, nodule or not, in distribution or not."""
    error = n.diameter_mm - n.true_diameter_mm
    beside = np.flatnonzero(~np.isnan(n.negative))

    def nodule_auc(i: metrics.Indices) -> float:
        negative = n.negative[i[np.isin(i, beside)]]
        flags = np.repeat([True, False], [len(i), len(negative)])
        return metrics.auc(flags, np.concatenate([n.nodule[i], negative]))

    return {
        "dice": lambda i: float(n.dice[i].mean()),
        "diameter_error_mm": lambda i: float(np.abs(error[i]).mean()),
        "diameter_bias_mm": lambda i: float(error[i].mean()),
        "nodule_auc": nodule_auc,
        "nodules_kept": lambda i: metrics.share(j.kept_as_nodule[i]),
        "negatives_refused": lambda i: metrics.share(j.negative_refused[i[np.isin(i, beside)]]),
        "in_distribution": lambda i: metrics.share(j.in_distribution[i]),
    }


def _candidate_figures(candidates: HeldOutCandidates, nodules: HeldOut, config: Config) -> dict[str, Interval]:
    """Nodule or not on LUNA candidates, at the threshold that the other folds' LIDC nodules set."""
    if not candidates.is_nodule.any():
        return {}
    y, called = candidates.is_nodule, np.zeros(len(candidates.fold), np.bool_)
    for fold in np.unique(candidates.fold):
        others = nodules.nodule[nodules.fold != fold] if (nodules.fold != fold).any() else nodules.nodule
        inside = candidates.fold == fold
        called[inside] = sigmoid(candidates.nodule[inside]) >= keep_above(
            sigmoid(others), config.calibration.nodules_kept
        )
    table: dict[str, metrics.Metric] = {
        "luna_nodule_auc": lambda i: metrics.auc(y[i], candidates.nodule[i]),
        "luna_nodules_kept": lambda i: metrics.sensitivity(y[i], called[i]),
        "luna_negatives_refused": lambda i: metrics.specificity(y[i], called[i]),
    }
    return _measured(table, [str(k) for k in range(len(y))], config)


def _measured(table: dict[str, metrics.Metric], patients: list[str], config: Config) -> dict[str, Interval]:
    """Figures with their intervals; one that the data do not define is left out rather than invented."""
    measured = {}
    for name, metric in table.items():
        with contextlib.suppress(metrics.Undefined):
            measured[name] = metrics.bootstrap(metric, patients, config.evaluation.resamples, config.seed)
    return measured


def _subset(judged: _Judged, chosen: Flags) -> _Judged:
    return _Judged(**{name: getattr(judged, name)[chosen] for name in _Judged.__slots__})


def read_evaluation(folder: Path) -> Evaluation:
    """Read `evaluation.json`; raises OSError or pydantic.ValidationError."""
    return Evaluation.model_validate_json((folder / EVALUATION_FILE).read_text("utf-8"))
