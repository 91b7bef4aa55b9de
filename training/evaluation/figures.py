"""Which figures of the network are measured, on which nodules.

Each is a function of indices, so that patients can be resampled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.inference.bundle import Interval
from training.data.nodules import INDETERMINATE, TRAIT_SCALES
from training.evaluation import metrics
from training.evaluation.cases import case_figures, cases_of
from training.evaluation.cross_fitting import Answers, any_patch_decided, decided
from training.evaluation.held_out import HeldOut
from training.evaluation.metrics import Floats, Metric
from training.evaluation.readers import CONSENSUS_OUTLINES
from training.evaluation.stated_and_observed import calibration_line, null_ece
from training.evaluation.study import Study
from training.fitting.config import Config

Table = Mapping[str, Metric]


def measure(study: Study, config: Config) -> dict[str, Interval]:
    """Every figure of the whole study with its interval; one that the data do not define is left out."""
    nodules, largest = study.nodules, study.nodules.largest_of_lesion
    chosen, any_patch = decided(nodules, config), any_patch_decided(nodules, config)
    read = (nodules.readers >= config.evaluation.min_readers) & largest
    known, everything = (nodules.median != INDETERMINATE) & largest, np.ones(len(nodules.fold), np.bool_)
    measured: dict[str, Interval] = {}
    for subset, kind in (
        (chosen, "suspicion"),
        (any_patch, "patch"),
        (read, "rating"),
        (known, "any"),
        (everything, "finding"),
    ):
        n, j, logistic = nodules.where(subset), study.answers.where(subset), study.logistic[subset]
        tables: dict[str, Table] = {
            "suspicion": suspicion_figures(n, j, config) | _logistic_figures(n, j, logistic, config),
            "patch": _ranking(n, j, "_any_patch") | _ranking_of_like_size(n, j, "_any_patch", config),
            "rating": _rating_figures(n, j),
            "any": _ranking(n, j, "_any_readers"),
            "finding": finding_figures(n, j),
        }
        measured |= intervals(tables[kind], n.patient.tolist(), config)
    if chosen.any():
        probability = study.answers.where(chosen).probability
        measured["ece_if_perfect"] = null_ece(probability, config.evaluation.ece_bins, config.seed)
    cases = cases_of(nodules.where(chosen), study.answers.where(chosen))
    measured |= intervals(case_figures(cases), cases.patient.tolist(), config)
    return measured | _candidate_figures(study, config)


def intervals(table: Table, patients: list[str], config: Config) -> dict[str, Interval]:
    """The table's figures over the configuration's resamples of patients."""
    return metrics.bootstrap_all(table, patients, config.evaluation.resamples, config.seed)


def all_known(values: Floats) -> bool:
    """Whether none is nan or infinite."""
    return bool(np.isfinite(values).all())


def suspicion_figures(n: HeldOut, j: Answers, config: Config) -> dict[str, Metric]:
    """Suspicious against benign, decided nodules only; what compares with a diameter needs all diameters."""
    table = _sorted_figures(n, j, config)
    if all_known(n.true_diameter_mm):
        return table
    return {name: metric for name, metric in table.items() if "diameter" not in name}


def _sorted_figures(n: HeldOut, j: Answers, config: Config) -> dict[str, Metric]:
    y, p, d = n.suspicious, j.probability, n.true_diameter_mm
    bins, firm = config.evaluation.ece_bins, j.firm
    return (
        _ranking(n, j, "")
        | _ranking_of_like_size(n, j, "", config)
        | {
            "auc_gain_over_diameter": lambda i: metrics.auc(y[i], p[i]) - metrics.auc(y[i], d[i]),
            "auprc": lambda i: metrics.average_precision(y[i], p[i]),
            "auprc_diameter_alone": lambda i: metrics.average_precision(y[i], d[i]),
            "suspicious_share": lambda i: metrics.share(y[i]),
            "sensitivity": lambda i: metrics.sensitivity(y[i], j.called[i]),
            "specificity": lambda i: metrics.specificity(y[i], j.called[i]),
            "sensitivity_diameter_alone": lambda i: metrics.sensitivity(y[i], j.called_by_diameter[i]),
            "specificity_diameter_alone": lambda i: metrics.specificity(y[i], j.called_by_diameter[i]),
            "brier": lambda i: metrics.brier(y[i], p[i]),
            "ece": lambda i: metrics.expected_calibration_error(y[i], p[i], bins),
            "calibration_slope": lambda i: calibration_line(y[i], p[i])[0],
            "coverage_suspicious": lambda i: metrics.sensitivity(y[i], j.holds_suspicious[i]),
            "coverage_benign": lambda i: metrics.sensitivity(~y[i], j.holds_benign[i]),
            "set_size": lambda i: metrics.mean(j.set_size[i]),
            "decided": lambda i: metrics.share(firm[i]),
            "correct_when_decided": lambda i: metrics.share((j.called[i] == y[i])[firm[i]]),
        }
    )


def finding_figures(n: HeldOut, j: Answers) -> dict[str, Metric]:
    """All nodules, whatever their ratings: outline, nodule or not, in distribution or not."""
    error = n.diameter_mm - n.true_diameter_mm
    beside = ~np.isnan(n.negative)
    consensus = np.where(n.outlines >= CONSENSUS_OUTLINES, n.dice_consensus, np.nan)

    def nodule_auc(i: metrics.Indices) -> float:
        negative = n.negative[i[beside[i]]]
        flags = np.repeat([True, False], [len(i), len(negative)])
        return metrics.auc(flags, np.concatenate([n.nodule[i], negative]))

    return {
        "dice": lambda i: metrics.mean(n.dice[i]),
        "dice_consensus": lambda i: metrics.mean(consensus[i]),
        "diameter_error_mm": lambda i: metrics.mean(np.abs(error[i])),
        "diameter_bias_mm": lambda i: metrics.mean(error[i]),
        "nodule_auc": nodule_auc,
        "nodules_kept": lambda i: metrics.share(j.kept_as_nodule[i]),
        "negatives_refused": lambda i: metrics.share(j.negative_refused[i[beside[i]]]),
        "negatives_called": lambda i: metrics.share(j.negative_called[i[beside[i]]]),
        "negatives_kept_and_called": lambda i: metrics.share((j.negative_called & ~j.negative_refused)[i[beside[i]]]),
        "in_distribution": lambda i: metrics.share(j.in_distribution[i]),
        "nodules_rejected": lambda i: metrics.share(j.rejected[i]),
    }


def _ranking(n: HeldOut, j: Answers, suffix: str) -> dict[str, Metric]:
    """By the probability that is served; ranking by logits of several networks would mix their scales."""
    y = n.suspicious
    return {
        f"auc{suffix}": lambda i: metrics.auc(y[i], j.probability[i]),
        f"auc_diameter_alone{suffix}": lambda i: metrics.auc(y[i], n.true_diameter_mm[i]),
    }


def _ranking_of_like_size(n: HeldOut, j: Answers, suffix: str, config: Config) -> dict[str, Metric]:
    y, p, d, within = n.suspicious, j.probability, n.true_diameter_mm, config.evaluation.size_match_mm
    return {
        f"size_matched_auc{suffix}": metrics.LikeSizePairs(y, p, d, within),
        f"size_matched_auc_diameter_alone{suffix}": metrics.LikeSizePairs(y, d, d, within),
    }


def _logistic_figures(n: HeldOut, j: Answers, logistic: Floats, config: Config) -> dict[str, Metric]:
    if not np.isfinite(logistic).all():
        return {}
    y, p, within = n.suspicious, j.probability, config.evaluation.size_match_mm
    return {
        "auc_logistic_patch": lambda i: metrics.auc(y[i], logistic[i]),
        "auc_gain_over_logistic_patch": lambda i: metrics.auc(y[i], p[i]) - metrics.auc(y[i], logistic[i]),
        "auprc_logistic_patch": lambda i: metrics.average_precision(y[i], logistic[i]),
        "size_matched_auc_logistic_patch": metrics.LikeSizePairs(y, logistic, n.true_diameter_mm, within),
    }


def _rating_figures(n: HeldOut, j: Answers) -> dict[str, Metric]:
    """All nodules with enough readers, the indeterminate ones among the not suspicious."""
    y, unsure = n.suspicious, n.median == INDETERMINATE
    figures = _ranking(n, j, "_with_indeterminate") | {
        "specificity_with_indeterminate": lambda i: metrics.specificity(y[i], j.called[i]),
        "indeterminate_called_suspicious": lambda i: metrics.sensitivity(unsure[i], j.called[i]),
        "set_size_with_indeterminate": lambda i: metrics.mean(j.set_size[i]),
        "spearman_malignancy": lambda i: metrics.spearman(n.mean[i], j.probability[i]),
    }
    for k, name in enumerate(TRAIT_SCALES):
        figures[f"spearman_{name}"] = lambda i, k=k: metrics.spearman(n.true_traits[i, k], n.traits[i, k])
    return figures


def _candidate_figures(study: Study, config: Config) -> dict[str, Interval]:
    """Nodule or not on LUNA candidates; they carry no patient, so candidates are resampled."""
    candidates, said = study.candidates, study.candidate_answers
    y, kept_and_called = candidates.is_nodule, said.kept_as_nodule & said.called
    if not y.any():
        return {}
    table: dict[str, Metric] = {
        "luna_nodule_auc": lambda i: metrics.auc(y[i], candidates.nodule[i]),
        "luna_nodules_kept": lambda i: metrics.sensitivity(y[i], said.kept_as_nodule[i]),
        "luna_negatives_refused": lambda i: metrics.specificity(y[i], said.kept_as_nodule[i]),
        "luna_negatives_called": lambda i: metrics.sensitivity(~y[i], said.called[i]),
        "luna_negatives_kept_and_called": lambda i: metrics.sensitivity(~y[i], kept_and_called[i]),
    }
    return intervals(table, [str(k) for k in range(len(y))], config)
