"""What the labels can carry: readers judged by other readers, beside the network on the same nodules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from app.inference.bundle import Interval
from training.data.nodules import INDETERMINATE
from training.data.ratings import RATED
from training.evaluation import metrics
from training.evaluation.calcification import CALCIFICATION, is_calcified
from training.evaluation.figures import all_known, intervals
from training.evaluation.metrics import Flags, Floats, Indices, Metric
from training.evaluation.shared_ratings import SharedRatings
from training.evaluation.study import Study
from training.fitting.config import Config

CEILING: Final = (
    "what bounds a figure; a reader judged by other readers, or for the calibration error a model that is exactly "
    "right, whose upper limit counts"
)
CEILINGS: Final[Mapping[str, str]] = {
    "auc": "auc_one_reader",
    "auc_any_patch": "auc_one_reader",
    "size_matched_auc": "size_matched_auc_one_reader",
    "size_matched_auc_any_patch": "size_matched_auc_one_reader",
    "auc_against_other_readers": "auc_one_reader",
    "size_matched_auc_against_other_readers": "size_matched_auc_one_reader",
    "size_matched_auc_calcified": "size_matched_auc_one_reader_calcified",
    "size_matched_auc_not_calcified": "size_matched_auc_one_reader_not_calcified",
    "dice": "dice_reader_and_reader",
    "dice_consensus": "dice_reader_and_consensus",
    "ece": "ece_if_perfect",
    **{f"spearman_against_other_readers_{name}": f"spearman_one_reader_{name}" for name in RATED},
}


def ceiling_figures(study: Study, config: Config) -> dict[str, Interval]:
    """One reader, and the network, on the same pairs and against the same others; what readers share at all."""
    return _sorted(study, config) | _ranked(study, config) | _shared(study, config) | _outlined(study, config)


def _sorted(study: Study, config: Config) -> dict[str, Interval]:
    """Of pairs whose others are decided: AUC, and AUC among nodules of like size, by calcification too."""
    nodules, sure = study.nodules, study.readers.where(study.readers.decided)
    positive, one = sure.others_median > INDETERMINATE, sure.one[:, 0]
    network, diameter_mm = study.answers.probability[sure.nodule], nodules.true_diameter_mm[sure.nodule]
    within_mm, patients = config.evaluation.size_match_mm, nodules.patient[sure.nodule]
    table = reader_auc_figures(positive, one, network)
    if not all_known(diameter_mm):
        return intervals(table, patients.tolist(), config)
    table |= like_size_figures(positive, one, network, diameter_mm, within_mm, "")
    found = intervals(table, patients.tolist(), config)
    for flags, suffix in zip(is_calcified(nodules), CALCIFICATION, strict=True):
        k = flags[sure.nodule]
        table = like_size_figures(positive[k], one[k], network[k], diameter_mm[k], within_mm, suffix)
        found |= intervals(table, patients[k].tolist(), config)
    return found


def reader_auc_figures(positive: Flags, one: Floats, network: Floats) -> dict[str, Metric]:
    """AUC of a reader's rating and of the network for the others' median above 3 rather than below."""
    return {
        "auc_one_reader": lambda i: metrics.auc(positive[i], one[i]),
        "auc_against_other_readers": lambda i: metrics.auc(positive[i], network[i]),
        "auc_gain_over_one_reader": lambda i: metrics.auc(positive[i], network[i]) - metrics.auc(positive[i], one[i]),
    }


def like_size_figures(
    positive: Flags, one: Floats, network: Floats, diameter_mm: Floats, within_mm: float, suffix: str
) -> dict[str, Metric]:
    """The same among nodules whose diameters differ by at most `within_mm`."""

    of_reader = metrics.LikeSizePairs(positive, one, diameter_mm, within_mm)
    of_network = metrics.LikeSizePairs(positive, network, diameter_mm, within_mm)
    return {
        f"size_matched_auc_one_reader{suffix}": of_reader,
        f"size_matched_auc_against_other_readers{suffix}": of_network,
        f"size_matched_auc_gain_over_one_reader{suffix}": lambda i: of_network(i) - of_reader(i),
    }


def _ranked(study: Study, config: Config) -> dict[str, Interval]:
    pairs, nodules = study.readers, study.nodules
    network = np.column_stack([study.answers.probability, nodules.traits])[pairs.nodule]
    table: dict[str, Metric] = {}
    for k, name in enumerate(RATED):
        table |= reader_rank_figures(name, pairs.one[:, k], pairs.others_mean[:, k], network[:, k])
    return intervals(table, nodules.patient[pairs.nodule].tolist(), config)


def reader_rank_figures(name: str, one: Floats, others: Floats, network: Floats) -> dict[str, Metric]:
    """Rank correlation of a reader's rating and of the network with the mean of the others' ratings."""

    def gain(i: Indices) -> float:
        return metrics.spearman(network[i], others[i]) - metrics.spearman(one[i], others[i])

    return {
        f"spearman_one_reader_{name}": lambda i: metrics.spearman(one[i], others[i]),
        f"spearman_against_other_readers_{name}": lambda i: metrics.spearman(network[i], others[i]),
        f"spearman_gain_over_one_reader_{name}": gain,
    }


def _shared(study: Study, config: Config) -> dict[str, Interval]:
    """What readers share of a nodule's malignancy: in all, beyond size, and beyond size where there is no calcium."""
    ratings, nodules = SharedRatings.of(study.readers), study.nodules
    log_mm, patients = np.log(nodules.true_diameter_mm[ratings.nodule]), nodules.patient[ratings.nodule]
    found = intervals({"icc_malignancy": lambda i: ratings.icc(i)}, patients.tolist(), config)
    if not all_known(log_mm):
        return found
    found |= intervals({"icc_malignancy_given_size": lambda i: ratings.icc(i, log_mm)}, patients.tolist(), config)
    bare = np.flatnonzero(is_calcified(nodules)[1][ratings.nodule])
    table: dict[str, Metric] = {"icc_malignancy_given_size_not_calcified": lambda i: ratings.icc(bare[i], log_mm)}
    return found | intervals(table, patients[bare].tolist(), config)


def _outlined(study: Study, config: Config) -> dict[str, Interval]:
    agreement, patient = study.agreement, study.nodules.patient
    pairs = intervals(
        {"dice_reader_and_reader": lambda i: metrics.mean(agreement.pairs[i])},
        patient[agreement.pair_nodule].tolist(),
        config,
    )
    ones = intervals(
        {"dice_reader_and_consensus": lambda i: metrics.mean(agreement.ones[i])},
        patient[agreement.one_nodule].tolist(),
        config,
    )
    return pairs | ones
