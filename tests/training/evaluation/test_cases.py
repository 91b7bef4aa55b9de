"""Whole patients, by the nodule that scores highest."""

from __future__ import annotations

import numpy as np

from tests.training.evaluation.hand_made import answers, table
from training.evaluation.cases import case_figures, cases_of


def test_a_patient_is_as_suspicious_as_the_worst_nodule() -> None:
    nodules = table(
        5,
        patient=np.array(["B", "A", "B", "C", "A"]),
        median=np.array([2.0, 2.0, 4.0, 1.0, 2.0]),
        true_diameter_mm=np.array([9.0, 5.0, 7.0, 8.0, 6.0]),
    )
    said = answers(probability=[0.2, 0.4, 0.3, 0.1, 0.35], called=[False, True, False, False, False])
    cases = cases_of(nodules, said)
    assert cases.patient.tolist() == ["A", "B", "C"]
    assert cases.suspicious.tolist() == [False, True, False]
    assert cases.probability.tolist() == [0.4, 0.3, 0.1]
    assert cases.diameter_mm.tolist() == [6.0, 9.0, 8.0]
    figures = {name: metric(np.arange(3)) for name, metric in case_figures(cases).items()}
    assert figures == {
        "case_auc": 0.5,
        "case_auc_diameter_alone": 1.0,
        "case_sensitivity": 0.0,
        "case_specificity": 0.5,
    }


def test_a_diameter_that_is_not_known_compares_with_nothing() -> None:
    nodules = table(2, true_diameter_mm=np.array([5.0, np.nan]), median=np.array([4.0, 2.0]))
    assert "case_auc_diameter_alone" not in case_figures(cases_of(nodules, answers(probability=[0.1, 0.2])))
