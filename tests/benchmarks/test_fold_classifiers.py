"""Classifiers of benchmarks have learned from nothing of the folds they leave out, and are calibrated by the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.inference.bundle import load_bundle
from benchmarks import fold_classifiers
from benchmarks.fold_classifiers import LEFT_OUT, bundle_of, export_fold, left_out
from benchmarks.scan.known import SCANS
from tests.training.conftest import CONFIGS, write_generated_data
from training.data.datasets import read_dataset
from training.data.nodules import Dataset, FalseFinding
from training.evaluation.cross_fitting import fit_calibration
from training.evaluation.cross_validation import cross_validate
from training.evaluation.results import evaluate
from training.fitting.config import load_config


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read_dataset(write_generated_data(tmp_path_factory.mktemp("data")))


def test_nothing_of_the_folds_is_seen(dataset: Dataset) -> None:
    found = tuple(FalseFinding("x", fold, 0.7, np.zeros((71, 71), np.int16)) for fold in (0, 1))
    seen = left_out(replace(dataset, false_findings=found), (0,))
    assert {n.fold for n in seen.nodules} == {c.fold for c in seen.candidates} == {1}
    assert [f.fold for f in seen.false_findings] == [1]


def test_each_scan_is_judged_without_its_patients_fold_and_the_one_that_is_planted() -> None:
    network = {"lidc-0012": "fold4", "lidc-0001": "fold1", "cptac-c3n-00247": "fold0"}
    for name, role in SCANS.items():
        assert {role.fold, role.planted_fold} <= set(LEFT_OUT[network[name]])


def test_a_fold_decides_nothing_about_its_own_network(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIGS / "tiny.toml")
    held_out, candidates = cross_validate(dataset, config, tmp_path / "evaluation")
    measured = evaluate(held_out, candidates, dataset, config, "pytest")
    monkeypatch.setattr(fold_classifiers, "train", pytest.fail)  # the network of the cross-validation is there
    export_fold("fold0", dataset, held_out, measured, config, tmp_path / "evaluation", tmp_path / "folds")
    manifest = load_bundle(bundle_of(tmp_path / "folds", "fold0")).manifest
    wanted = fit_calibration(held_out.where(held_out.fold == 1), config)
    assert manifest.operating_point.threshold == pytest.approx(wanted.threshold)
    assert manifest.nodule_threshold == pytest.approx(wanted.nodule_threshold)
