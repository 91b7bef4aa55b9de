"""Whole patients: suspicious when a nodule of theirs is, scored by the nodule that scores highest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics
from training.evaluation.cross_fitting import Answers
from training.evaluation.held_out import HeldOut
from training.evaluation.metrics import Flags, Floats, Metric


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """One entry per patient with a nodule among those given, in order of their names."""

    patient: NDArray[np.str_]
    suspicious: Flags
    probability: Floats
    diameter_mm: Floats  # of the largest; nan where one is unknown
    called: Flags


def cases_of(nodules: HeldOut, answers: Answers) -> Cases:
    """The patients of these nodules and of the answers about them."""
    patient, owner = np.unique(nodules.patient, return_inverse=True)

    def highest(values: Floats) -> Floats:
        found = np.full(len(patient), -np.inf)
        with np.errstate(invalid="ignore"):  # what is unknown stays nan
            np.maximum.at(found, owner, values)
        return found

    return Cases(
        patient=patient,
        suspicious=highest(nodules.suspicious.astype(np.float64)) > 0,
        probability=highest(answers.probability),
        diameter_mm=highest(nodules.true_diameter_mm),
        called=highest(answers.called.astype(np.float64)) > 0,
    )


def case_figures(cases: Cases) -> dict[str, Metric]:
    """Figures over patients; what compares with a diameter needs all diameters."""
    y, p, d, called = cases.suspicious, cases.probability, cases.diameter_mm, cases.called
    table: dict[str, Metric] = {
        "case_auc": lambda i: metrics.auc(y[i], p[i]),
        "case_sensitivity": lambda i: metrics.sensitivity(y[i], called[i]),
        "case_specificity": lambda i: metrics.specificity(y[i], called[i]),
    }
    if np.isfinite(d).all():
        table["case_auc_diameter_alone"] = lambda i: metrics.auc(y[i], d[i])
    return table
