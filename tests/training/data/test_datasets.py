"""Reading the folders, and splits that keep patients apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.imaging.patches import PatchSpec
from training.data.datasets import hold_out, read_dataset
from training.data.development import read_candidates, read_nodules
from training.data.leaks import PatientLeak, require_disjoint
from training.data.nodules import Dataset as NoduleDataset
from training.data.nodules import DatasetMissing
from training.fitting.samples import nodule_view


def test_reads_nodules_and_candidates(dataset: NoduleDataset) -> None:
    assert len(dataset.nodules) == 16
    assert len(dataset.candidates) == 8
    assert dataset.folds == (0, 1)
    first = dataset.nodules[0]
    assert first.readers == 3
    assert first.outline is not None
    assert first.outline[35, 35]
    assert not first.outline[0, 0]
    assert first.neighbours_px == ((160, 100),)
    assert [name for name, _ in dataset.digests] == ["lidc-nodules", "luna-candidates"]


def test_the_8_bit_window_maps_back_to_its_ends(tmp_path: Path) -> None:
    window = np.zeros((2, 50, 50), np.uint8)
    window[1] = 255
    np.savez(tmp_path / "patches.npz", window=window, is_nodule=[0, 1], candidate_id=[1, 2], fold=[0, 1])
    air, bright = read_candidates(tmp_path)
    assert air.hu[0, 0] == -1000
    assert bright.hu[0, 0] == pytest.approx(400, abs=1e-3)


@pytest.mark.parametrize(
    ("ratings", "suspicion"),
    [((4, 4, 3), "suspicious"), ((3, 3, 5), "indeterminate"), ((1, 2), "benign"), ((3, 4), "suspicious")],
)
def test_suspicion_follows_the_median(dataset: NoduleDataset, ratings: tuple[int, ...], suspicion: str) -> None:
    assert replace(dataset.nodules[0], malignancy=ratings).suspicion == suspicion


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"nodules\.csv.*Point --data"):
        read_dataset(tmp_path)


def test_a_table_that_does_not_match_its_patches_is_refused(generated_data: Path, tmp_path: Path) -> None:
    lines = (generated_data / "lidc-nodules" / "nodules.csv").read_text().splitlines()
    (tmp_path / "nodules.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    (tmp_path / "patches.npz").write_bytes((generated_data / "lidc-nodules" / "patches.npz").read_bytes())
    with pytest.raises(ValueError, match="different nodules"):
        read_nodules(tmp_path)


def test_holding_out_a_fold_separates_patients_and_candidates(dataset: NoduleDataset) -> None:
    inside, outside = hold_out(dataset, 1)
    assert not inside.patients & outside.patients
    assert {c.fold for c in inside.candidates} == {0}
    assert {c.fold for c in outside.candidates} == {1}


def test_a_patient_on_both_sides_is_an_error_that_names_it(dataset: NoduleDataset) -> None:
    moved = replace(dataset.nodules[0], fold=1)
    with pytest.raises(PatientLeak, match="P0 on both sides"):
        hold_out(replace(dataset, nodules=(moved, *dataset.nodules[1:])), 1)


def test_a_series_under_two_names_is_a_leak_too(dataset: NoduleDataset) -> None:
    renamed = replace(dataset.nodules[0], patient="another")
    with pytest.raises(PatientLeak, match="another"):
        require_disjoint([dataset.nodules[0]], [renamed])


def test_the_development_data_has_no_leak(shared_data: Path) -> None:
    dataset = read_dataset(shared_data)
    assert len(dataset.nodules) == 2306
    for fold in dataset.folds:
        hold_out(dataset, fold)


def test_the_shipped_input_is_filled_by_the_development_patches(shared_data: Path) -> None:
    spec = PatchSpec(48, 0.7)
    nodules = read_nodules(shared_data / "lidc-nodules")
    filled = np.mean([n.spacing_mm * 71 >= spec.size_px * spec.spacing_mm for n in nodules])
    assert filled >= 0.99
    assert np.isfinite(nodule_view(nodules[0], spec).hu).all()
