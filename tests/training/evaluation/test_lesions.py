"""One patch a lesion: which it is, what is measured on it, and how many there are in the development data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.hand_made import answers, study_of, table
from training.data.development import read_development
from training.data.nodules import Dataset
from training.data.references import References, read_references
from training.evaluation.ceilings import CEILINGS, ceiling_figures
from training.evaluation.cross_fitting import Answers, any_patch_decided, decided
from training.evaluation.figures import measure
from training.evaluation.held_out import HeldOut, truth_of
from training.evaluation.pathology import diagnosed
from training.evaluation.study import Study, joined
from training.fitting.config import Config


def test_a_lesion_is_its_largest_patch() -> None:
    nodules = table(
        6,
        lesion=np.array(["a", "b", "a", "c", "b", "b"]),
        true_diameter_mm=np.array([5.0, 8.0, 7.0, np.nan, 8.0, np.nan]),
    )
    assert nodules.largest_of_lesion.tolist() == [False, True, True, True, False, False]


def test_a_lesion_whose_largest_patch_is_undecided_is_not_decided_by_a_smaller_one(config: Config) -> None:
    nodules = table(
        2,
        lesion=np.array(["a", "a"]),
        true_diameter_mm=np.array([9.0, 4.0]),
        median=np.array([3.0, 2.0]),
    )
    assert decided(nodules, config).tolist() == [False, False]
    assert any_patch_decided(nodules, config).tolist() == [False, True]


def test_the_main_figures_are_of_lesions_and_any_patch_is_said_apart(config: Config) -> None:
    """Two lesions of four patches each, whose smaller patches are ranked the wrong way round."""
    nodules = table(
        8,
        lesion=np.repeat(["a", "b"], 4),
        true_diameter_mm=np.tile([9.0, 5.0, 5.0, 5.0], 2),
        median=np.repeat([4.0, 2.0], 4),
    )
    said = answers(probability=[0.9, 0.1, 0.1, 0.1, 0.2, 0.8, 0.8, 0.8])
    found = {name: figure.value for name, figure in measure(study_of(nodules, booleans(said)), config).items()}
    assert found["auc"] == 1.0
    assert found["auc_any_patch"] == pytest.approx(4 / 16)
    assert found["sensitivity"] == 0.0


def booleans(said: Answers) -> Answers:
    flags = {name: getattr(said, name).astype(bool) for name in Answers.__slots__ if name != "probability"}
    return replace(said, **flags)


@pytest.fixture(scope="module")
def known(shared_data: Path) -> tuple[Dataset, HeldOut, References]:
    dataset = read_development(shared_data)
    return dataset, table(len(dataset.nodules), **truth_of(dataset.nodules)), read_references(shared_data)


@pytest.fixture(scope="module")
def real(known: tuple[Dataset, HeldOut, References], config: Config) -> Study:
    """The development data with predictions that say the diameter and nothing else."""
    dataset, truth, references = known
    said = replace(
        booleans(answers(probability=[0.0] * len(dataset.nodules))), probability=truth.true_diameter_mm / 100
    )
    empty = study_of(truth, said)
    return joined(truth, said, dataset.nodules, empty.candidates, empty.candidate_answers, config, references)


def test_the_lesions_of_the_development_data(known: tuple[Dataset, HeldOut, References], config: Config) -> None:
    _, truth, _ = known
    chosen = truth.where(decided(truth, config))
    assert (len(chosen.fold), int(chosen.suspicious.sum()), len(set(chosen.patient.tolist()))) == (724, 346, 439)
    assert int(truth.largest_of_lesion.sum()) == 2216


def test_what_readers_agree_on_in_the_development_data(real: Study, config: Config) -> None:
    found = {name: figure.value for name, figure in ceiling_figures(real, config).items()}
    assert found["dice_reader_and_reader"] == pytest.approx(0.844, abs=0.001)
    assert found["dice_reader_and_consensus"] == pytest.approx(0.862, abs=0.001)
    assert found["size_matched_auc_one_reader"] == pytest.approx(0.646, abs=0.01)
    assert found["size_matched_auc_one_reader_not_calcified"] == pytest.approx(0.493, abs=0.01)
    assert found["icc_malignancy"] == pytest.approx(0.451, abs=0.01)
    assert found["icc_malignancy_given_size_not_calcified"] == pytest.approx(0.011, abs=0.01)
    assert set(CEILINGS.values()) - {"ece_if_perfect"} <= set(found)


def test_diagnoses_of_the_development_data_are_of_its_patients(real: Study) -> None:
    assert diagnosed(real) == {
        "patients, pathology benign": 25,
        "patients, pathology metastasis": 39,
        "patients, pathology primary": 33,
    }
