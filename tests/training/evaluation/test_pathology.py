"""Patients with a diagnosis, and what is read of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.hand_made import answers, study_of, table
from training.data.nodules import DatasetMalformed
from training.data.references import read_diagnoses
from training.evaluation.pathology import diagnosed, pathology_figures
from training.evaluation.study import Study
from training.fitting.config import Config

ROWS = "patient,fold,diagnosis,method\nA,1,2,3\nB,1,1,1\nC,0,0,0\nD,2,3,2\n"


def study() -> Study:
    n = table(
        6,
        patient=np.array(["A", "A", "B", "C", "D", "E"]),
        true_diameter_mm=np.array([5.0, 20.0, 12.0, 30.0, 9.0, 2.0]),
        mean=np.array([4.0, 2.0, 3.0, 5.0, 1.0, 1.0]),
    )
    said = answers(probability=[0.9, 0.1, 0.5, 0.99, 0.2, 0.0])
    return study_of(n, said, diagnoses={"A": "primary", "B": "benign", "D": "metastasis", "Z": "benign"})


def test_a_patient_counts_once_by_the_highest_of_each_score(config: Config) -> None:
    found = {name: figure.value for name, figure in pathology_figures(study(), config).items()}
    assert found["pathology_primary_auc"] == 1.0  # 0.9 above 0.5
    assert found["pathology_primary_auc_diameter_alone"] == 1.0
    assert found["pathology_malignant_auc"] == 0.5  # the metastasis lies below
    assert found["pathology_malignant_auc_diameter_alone"] == 0.5
    assert found["pathology_malignant_auc_readers"] == 0.5
    assert found["pathology_malignant_auc_gain_over_diameter"] == 0.0


def test_patients_without_diagnosis_or_nodule_are_not_counted() -> None:
    assert diagnosed(study()) == {
        "patients, pathology benign": 1,
        "patients, pathology metastasis": 1,
        "patients, pathology primary": 1,
    }


def test_without_diagnoses_nothing_is_said(config: Config) -> None:
    assert pathology_figures(study_of(table(3), answers(probability=[0.1, 0.2, 0.3])), config) == {}


def test_what_is_not_known_is_not_benign(tmp_path: Path) -> None:
    (tmp_path / "diagnosis.csv").write_text(ROWS, "utf-8")
    assert read_diagnoses(tmp_path / "diagnosis.csv") == {"A": "primary", "B": "benign", "D": "metastasis"}
    assert read_diagnoses(tmp_path / "nothing.csv") == {}


def test_a_code_of_no_known_meaning_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diagnosis.csv").write_text(f"{ROWS}E,0,7,1\n", "utf-8")
    with pytest.raises(DatasetMalformed, match=r"diagnosis 7 in diagnosis\.csv"):
        read_diagnoses(tmp_path / "diagnosis.csv")
