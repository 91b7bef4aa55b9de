"""What became of patients, beside what is said about their nodules: measured, never learned from or chosen by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from app.inference.bundle import Interval
from training.data.references import Diagnosis
from training.evaluation import metrics
from training.evaluation.figures import all_known, intervals
from training.evaluation.metrics import Flags, Floats, Metric
from training.evaluation.study import Study
from training.fitting.config import Config

# Benign against each of these; where a cancer came from elsewhere, the nodule says less of itself.
AGAINST: Final[Mapping[str, frozenset[Diagnosis]]] = {
    "primary": frozenset({"primary"}),
    "malignant": frozenset({"primary", "metastasis"}),
}

GAINS: Final = {
    f"{who}, {name}": f"pathology_{name}_auc_{figure}"
    for name in AGAINST
    for who, figure in (("network", "gain_over_diameter"), ("readers", "readers_gain_over_diameter"))
}


def pathology_figures(study: Study, config: Config) -> dict[str, Interval]:
    """Patients with a diagnosis, each by the nodule of theirs that scores highest, is largest, or was rated highest."""
    patient, owner = np.unique(study.nodules.patient, return_inverse=True)
    diagnosis = np.array([study.diagnoses.get(name, "") for name in patient.tolist()])

    def highest(values: Floats) -> Floats:
        found = np.full(len(patient), -np.inf)
        with np.errstate(invalid="ignore"):  # what is unknown stays nan
            np.maximum.at(found, owner, values)
        return found

    scores = {
        "": highest(study.answers.probability),
        "_diameter_alone": highest(study.nodules.true_diameter_mm),
        "_readers": highest(study.nodules.mean),
    }
    found: dict[str, Interval] = {}
    for name, cancers in AGAINST.items():
        positive = np.isin(diagnosis, sorted(cancers))
        known = positive | (diagnosis == "benign")
        table = _ranked(f"pathology_{name}_auc", positive[known], {k: s[known] for k, s in scores.items()})
        found |= intervals(table, patient[known].tolist(), config)
    return found


def diagnosed(study: Study) -> dict[str, int]:
    """How many patients of the study have each diagnosis."""
    known = [study.diagnoses[name] for name in set(study.nodules.patient.tolist()) if name in study.diagnoses]
    return {f"patients, pathology {name}": known.count(name) for name in sorted(set(known))}


def _ranked(name: str, positive: Flags, scores: Mapping[str, Floats]) -> dict[str, Metric]:
    def auc_of(score: Floats) -> Metric:
        return lambda i: metrics.auc(positive[i], score[i])

    table = {f"{name}{suffix}": auc_of(score) for suffix, score in scores.items() if all_known(score)}
    network, alone, readers = (auc_of(scores[suffix]) for suffix in ("", "_diameter_alone", "_readers"))
    if all_known(scores["_diameter_alone"]):
        table[f"{name}_gain_over_diameter"] = lambda i: network(i) - alone(i)
        table[f"{name}_readers_gain_over_diameter"] = lambda i: readers(i) - alone(i)
    return table
