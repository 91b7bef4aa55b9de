"""False findings of whole scans: where nobody marked anything, in the fold that must not see them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phantoms.lung_volumes import Ball, chest_volume
from phantoms.slices import dicom
from training.data.datasets import hold_out, read_dataset
from training.data.false_findings import OTHERS, STRONGEST, TaughtScan, false_findings
from training.data.nodules import Dataset, FalseFinding
from training.data.scans import Scan, patient_mm
from training.fitting.batches import BatchSource
from training.fitting.config import Config

BALLS = [Ball((80.0, 128.0), 25.0, 12.0), Ball((180.0, 120.0), 25.0, 12.0)]
DENSE_HU = 500


@pytest.fixture(scope="module")
def scan() -> Scan:
    """Two balls, of which readers marked the first."""
    volume = chest_volume(BALLS, slices=20)
    x, y, z = patient_mm(volume, (*BALLS[0].centre_px, BALLS[0].height_mm / 2.5)).tolist()
    return Scan("phantom", volume, np.array([[x, y, z, 6.0]]))


def finding(fold: int) -> FalseFinding:
    return FalseFinding("phantom", fold, 0.7, np.full((71, 71), DENSE_HU + fold, np.int16))


def test_what_readers_marked_is_no_false_finding_and_the_rest_is(scan: Scan) -> None:
    found = list(false_findings(scan, 3))
    middles = [f.hu[33:38, 33:38].mean() for f in found]
    assert max(middles) > -100  # the ball that nobody marked
    assert len(found) <= len(scan.volume) * (STRONGEST + OTHERS)
    unmarked = list(false_findings(replace(scan, known_mm=np.zeros((0, 4))), 3))
    assert sum(m > -100 for m in middles) < sum(f.hu[33:38, 33:38].mean() > -100 for f in unmarked)
    assert {f.fold for f in found} == {3}


def test_a_scan_is_held_out_with_its_fold(dataset: Dataset) -> None:
    inside, outside = hold_out(replace(dataset, false_findings=(finding(0), finding(1))), 1)
    assert [f.fold for f in inside.false_findings] == [0]
    assert [f.fold for f in outside.false_findings] == [1]


def test_false_findings_teach_that_they_are_no_nodule_and_not_malignant(dataset: Dataset, config: Config) -> None:
    batch = config.batch.model_copy(update={"scan_negatives": 3})
    still = config.augment.model_copy(update={"blur": 0.0, "noise": 0.0, "jpeg": 0.0, "shift_hu": 0.0})
    config = config.model_copy(update={"batch": batch, "augment": still})
    found = BatchSource(replace(dataset, false_findings=(finding(0),)), config)(0)
    rows = np.flatnonzero((found.hu.min(axis=(1, 2, 3)) > DENSE_HU - 1) & (found.hu.max(axis=(1, 2, 3)) < DENSE_HU + 1))
    assert len(rows) == 3
    for output in ("nodule", "malignancy"):
        assert not found.targets[output][rows].any()
        assert (found.weights[output][rows] > 0).all()


def test_what_is_no_nodule_weighs_in_suspicion_as_configured(dataset: Dataset, config: Config) -> None:
    def share(weight: float) -> float:
        optimiser = config.optimiser.model_copy(update={"negatives_malignant": weight})
        batch = BatchSource(dataset, config.model_copy(update={"optimiser": optimiser}))(0)
        rows = batch.targets["nodule"][:, 0] == 0
        return float(batch.weights["malignancy"][rows].sum() / batch.weights["malignancy"].sum())

    negatives, nodules = 8, 8 * 3**config.optimiser.reader_exponent
    assert share(0.0) == 0
    assert share(0.4) == pytest.approx(0.4 * negatives / (0.4 * negatives + nodules))


def test_scans_beside_the_nodules_are_read_and_absent_ones_named(
    generated_data: Path, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scan").mkdir()
    for folder in generated_data.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    volume = chest_volume(BALLS, slices=12)
    for k, hu in enumerate(volume.hu):
        data = dicom(hu, SOPInstanceUID=f"1.2.3.{k}", ImagePositionPatient=[0, 0, 2.5 * k])
        (tmp_path / "scan" / f"{k}.dcm").write_bytes(data)
    scans = {"one": TaughtScan(folder="scan", fold=1), "gone": TaughtScan(folder="nowhere", fold=0)}
    with caplog.at_level(logging.WARNING):
        read = read_dataset(tmp_path, scans)
    assert {f.scan for f in read.false_findings} == {"one"}
    assert "gone" in caplog.text
    assert dict(read.digests).keys() == {*dict(dataset.digests), "scans"}
