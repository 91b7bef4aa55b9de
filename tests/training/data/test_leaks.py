"""A patient, a series, a slice or a patch on both sides of a split is an error that names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import hold_out, read_dataset
from training.data.leaks import PatientLeak, pixel_digest, require_disjoint, require_disjoint_candidates
from training.data.nodules import Dataset


def test_a_copied_patch_is_a_leak(dataset: Dataset) -> None:
    one = dataset.nodules[0]
    copy = replace(dataset.nodules[-1], hu=one.hu.copy())
    with pytest.raises(PatientLeak, match="P0, P7 on both sides of the split: the same patch"):
        require_disjoint([one], [copy])


def test_a_copied_slice_is_a_leak(dataset: Dataset) -> None:
    one, other = (replace(dataset.nodules[k], image_digest="ab") for k in (0, -1))
    with pytest.raises(PatientLeak, match="P0, P7 on both sides of the split: the same slice"):
        require_disjoint([one], [other])


def test_pictures_without_uids_are_not_one_series(dataset: Dataset) -> None:
    one, other = (replace(dataset.nodules[k], series_uid="", sop_uid="") for k in (0, -1))
    require_disjoint([one], [other])


def test_a_copied_candidate_is_a_leak(dataset: Dataset) -> None:
    first, *others = dataset.candidates
    copy = replace(others[-1], hu=first.hu.copy())
    with pytest.raises(PatientLeak, match="candidates 7 and 0 with the same image"):
        hold_out(replace(dataset, candidates=(first, *others[:-1], copy)), 0)
    require_disjoint_candidates([first], others)


def test_many_leaks_are_counted(dataset: Dataset) -> None:
    with pytest.raises(PatientLeak, match="P0, P1, P2, P3, P4 and 3 more"):
        require_disjoint(dataset.nodules, dataset.nodules)


def test_digests_are_of_pixels_shape_and_type() -> None:
    flat = np.zeros((2, 8), np.int16)
    assert pixel_digest(flat) == pixel_digest(flat.copy())
    assert len({pixel_digest(i) for i in (flat, flat.T, flat.astype(np.float32), flat + 1)}) == 4


def test_no_image_of_the_development_data_is_in_two_folds(shared_data: Path) -> None:
    dataset = read_dataset(shared_data)
    for digests in (
        {(pixel_digest(n.hu), n.fold) for n in dataset.nodules},
        {(pixel_digest(c.hu), c.fold) for c in dataset.candidates},
    ):
        assert len({digest for digest, _ in digests}) == len(digests)
