"""Which figures are measured, on which nodules. Each is a function of indices, so that patients can be resampled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.inference.bundle import Interval
from training.data.nodules import INDETERMINATE, TRAIT_SCALES
from training.data.ratings import RATED
from training.evaluation import metrics
from training.evaluation.cases import case_figures, cases_of
from training.evaluation.cross_fitting import Answers, decided
from training.evaluation.held_out import HeldOut
from training.evaluation.metrics import Flags, Floats, Metric
from training.evaluation.readers import ReaderPairs
from training.evaluation.stated_and_observed import calibration_line, null_ece
from training.evaluation.study import Study
from training.fitting.config import Config

Table = Mapping[str, Metric]


def measure(study: Study, config: Config) -> dict[str, Interval]:
    """Every figure of the whole study with its interval; one that the data do not define is left out."""
    nodules = study.nodules
    chosen, read = decided(nodules, config), nodules.readers >= config.evaluation.min_readers
    known, everything = nodules.median != INDETERMINATE, np.ones(len(nodules.fold), np.bool_)
    measured: dict[str, Interval] = {}
    for subset, suffix in ((chosen, "suspicion"), (read, "rating"), (known, "any"), (everything, "finding")):
        n, j, logistic = nodules.where(subset), study.answers.where(subset), study.logistic[subset]
        tables: dict[str, Table] = {
            "suspicion": suspicion_figures(n, j, config) | _logistic_figures(n, j, logistic, config),
            "rating": _rating_figures(n, j),
            "any": _ranking(n, j, "_any_readers"),
            "finding": finding_figures(n, j),
        }
        measured |= intervals(tables[suffix], n.patient.tolist(), config)
    if chosen.any():
        probability = study.answers.where(chosen).probability
        measured["ece_if_perfect"] = null_ece(probability, config.evaluation.ece_bins, config.seed)
    cases = cases_of(nodules.where(chosen), study.answers.where(chosen))
    measured |= intervals(case_figures(cases), cases.patient.tolist(), config)
    return measured | _reader_figures(study, config) | _candidate_figures(study, config)


def intervals(table: Table, patients: list[str], config: Config) -> dict[str, Interval]:
    """The table's figures over the configuration's resamples of patients."""
    return metrics.bootstrap_all(table, patients, config.evaluation.resamples, config.seed)


def suspicion_figures(n: HeldOut, j: Answers, config: Config) -> dict[str, Metric]:
    """Suspicious against benign, decided nodules only; what compares with a diameter needs all diameters."""
    table = _sorted_figures(n, j, config)
    if np.isfinite(n.true_diameter_mm).all():
        return table
    return {name: metric for name, metric in table.items() if "diameter" not in name}


def _sorted_figures(n: HeldOut, j: Answers, config: Config) -> dict[str, Metric]:
    y, p, d = n.suspicious, j.probability, n.true_diameter_mm
    within, bins, firm = config.evaluation.size_match_mm, config.evaluation.ece_bins, j.firm
    return _ranking(n, j, "") | {
        "auc_gain_over_diameter": lambda i: metrics.auc(y[i], p[i]) - metrics.auc(y[i], d[i]),
        "auprc": lambda i: metrics.average_precision(y[i], p[i]),
        "auprc_diameter_alone": lambda i: metrics.average_precision(y[i], d[i]),
        "suspicious_share": lambda i: metrics.share(y[i]),
        "size_matched_auc": lambda i: metrics.size_matched_auc(y[i], p[i], d[i], within),
        "size_matched_auc_diameter_alone": lambda i: metrics.size_matched_auc(y[i], d[i], d[i], within),
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


def finding_figures(n: HeldOut, j: Answers) -> dict[str, Metric]:
    """All nodules, whatever their ratings: outline, nodule or not, in distribution or not."""
    error = n.diameter_mm - n.true_diameter_mm
    beside = ~np.isnan(n.negative)

    def nodule_auc(i: metrics.Indices) -> float:
        negative = n.negative[i[beside[i]]]
        flags = np.repeat([True, False], [len(i), len(negative)])
        return metrics.auc(flags, np.concatenate([n.nodule[i], negative]))

    return {
        "dice": lambda i: metrics.mean(n.dice[i]),
        "diameter_error_mm": lambda i: metrics.mean(np.abs(error[i])),
        "diameter_bias_mm": lambda i: metrics.mean(error[i]),
        "nodule_auc": nodule_auc,
        "nodules_kept": lambda i: metrics.share(j.kept_as_nodule[i]),
        "negatives_refused": lambda i: metrics.share(j.negative_refused[i[beside[i]]]),
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


def _logistic_figures(n: HeldOut, j: Answers, logistic: Floats, config: Config) -> dict[str, Metric]:
    if not np.isfinite(logistic).all():
        return {}
    y, p, within = n.suspicious, j.probability, config.evaluation.size_match_mm
    return {
        "auc_logistic_patch": lambda i: metrics.auc(y[i], logistic[i]),
        "auc_gain_over_logistic_patch": lambda i: metrics.auc(y[i], p[i]) - metrics.auc(y[i], logistic[i]),
        "auprc_logistic_patch": lambda i: metrics.average_precision(y[i], logistic[i]),
        "size_matched_auc_logistic_patch": lambda i: metrics.size_matched_auc(
            y[i], logistic[i], n.true_diameter_mm[i], within
        ),
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


def _reader_figures(study: Study, config: Config) -> dict[str, Interval]:
    """One reader, and the network, on the same pairs and against the same others."""
    pairs, nodules, probability = study.readers, study.nodules, study.answers.probability
    patients = nodules.patient[pairs.nodule].tolist()
    ranked = intervals(_rank_pairs(pairs, probability, nodules), patients, config)
    sure = pairs.where(pairs.decided)
    positive, one, network = sure.others_median > INDETERMINATE, sure.one[:, 0], probability[sure.nodule]
    table = reader_auc_figures(positive, one, network)
    diameter_mm, within_mm = nodules.diameter_mm[sure.nodule], config.evaluation.size_match_mm
    table |= {
        "size_matched_auc_one_reader": lambda i: metrics.size_matched_auc(
            positive[i], one[i], diameter_mm[i], within_mm
        ),
        "size_matched_auc_against_other_readers": lambda i: metrics.size_matched_auc(
            positive[i], network[i], diameter_mm[i], within_mm
        ),
    }
    return intervals(table, nodules.patient[sure.nodule].tolist(), config) | ranked


def reader_auc_figures(positive: Flags, one: Floats, network: Floats) -> dict[str, Metric]:
    """AUC of a reader's rating and of the network for the others' median above 3 rather than below."""
    return {
        "auc_one_reader": lambda i: metrics.auc(positive[i], one[i]),
        "auc_against_other_readers": lambda i: metrics.auc(positive[i], network[i]),
        "auc_gain_over_one_reader": lambda i: metrics.auc(positive[i], network[i]) - metrics.auc(positive[i], one[i]),
    }


def _rank_pairs(pairs: ReaderPairs, probability: Floats, nodules: HeldOut) -> dict[str, Metric]:
    network = np.column_stack([probability, nodules.traits])[pairs.nodule]
    table: dict[str, Metric] = {}
    for k, name in enumerate(RATED):
        table |= reader_rank_figures(name, pairs.one[:, k], pairs.others_mean[:, k], network[:, k])
    return table


def reader_rank_figures(name: str, one: Floats, others: Floats, network: Floats) -> dict[str, Metric]:
    """Rank correlation of a reader's rating and of the network with the mean of the others' ratings."""

    def gain(i: metrics.Indices) -> float:
        return metrics.spearman(network[i], others[i]) - metrics.spearman(one[i], others[i])

    return {
        f"spearman_one_reader_{name}": lambda i: metrics.spearman(one[i], others[i]),
        f"spearman_against_other_readers_{name}": lambda i: metrics.spearman(network[i], others[i]),
        f"spearman_gain_over_one_reader_{name}": gain,
    }


def _candidate_figures(study: Study, config: Config) -> dict[str, Interval]:
    """Nodule or not on LUNA candidates; they carry no patient, so candidates are resampled."""
    candidates, called = study.candidates, study.candidates_called
    y = candidates.is_nodule
    if not y.any():
        return {}
    table: dict[str, Metric] = {
        "luna_nodule_auc": lambda i: metrics.auc(y[i], candidates.nodule[i]),
        "luna_nodules_kept": lambda i: metrics.sensitivity(y[i], called[i]),
        "luna_negatives_refused": lambda i: metrics.specificity(y[i], called[i]),
    }
    return intervals(table, [str(k) for k in range(len(y))], config)
