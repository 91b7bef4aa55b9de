"""Nodules without an outline, traits or a diameter train what they can, and whole data train as they always did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.data.nodules import UNRATED_TRAITS, Dataset
from training.fitting.batches import Batch, BatchSource
from training.fitting.config import Config
from training.fitting.samples import nodule_view, random_negative

# Of the 18 samples of the first batch: 8 nodules, 4 places beside them, 2 + 2 candidates, 2 generated.
MEAN_HU = (-782.5, -789.8, -840.2, -826.6, -800.9, -816.9, -808.3, -755.4, -822.7, -765.2, -821.3, -825.6,
           -282.5, -290.9, -317.2, -310.0, 483.3, -443.5)  # fmt: skip
MASK_PX = 1554  # shares of pixels at the edge included


def bare(dataset: Dataset, *, every: int = 1) -> Dataset:
    """The same, every n-th nodule without outline, traits and diameter."""
    nodules = [
        replace(n, outline=None, traits=UNRATED_TRAITS, diameter_mm=float("nan")) if k % every == 0 else n
        for k, n in enumerate(dataset.nodules)
    ]
    return replace(dataset, nodules=tuple(nodules))


def finite(batch: Batch) -> bool:
    return all(np.isfinite(a).all() for a in (batch.hu, *batch.targets.values(), *batch.weights.values()))


def test_missing_labels_weigh_nothing(dataset: Dataset, config: Config) -> None:
    batch = BatchSource(bare(dataset), config)(0)
    assert finite(batch)
    assert not batch.weights["traits"].any()
    assert not batch.weights["mask"].any()
    assert batch.weights["malignancy"].mean() == pytest.approx(1)


def test_some_missing_labels_leave_the_others_their_weight(dataset: Dataset, config: Config) -> None:
    batch = BatchSource(bare(dataset, every=2), config)(0)
    assert finite(batch)
    taught = batch.weights["traits"] > 0
    np.testing.assert_array_equal(taught, batch.weights["mask"] > 0)
    assert 0 < taught.sum() < (batch.weights["malignancy"] > 0).sum()
    assert batch.weights["traits"].mean() == pytest.approx(1)
    assert not batch.targets["traits"][~taught].any()


def test_a_view_without_an_outline_has_none(dataset: Dataset, config: Config) -> None:
    assert nodule_view(bare(dataset).nodules[0], config.input.patch_spec).outline is None


def test_negatives_stay_clear_of_a_nodule_of_unknown_size(dataset: Dataset, config: Config) -> None:
    nodule = replace(bare(dataset).nodules[0], neighbours_px=())
    plain = config.augment.model_copy(update={"jpeg": 0.0, "blur": 0.0, "noise": 0.0, "zoom": 0.0})
    views = [random_negative(nodule, config.input, plain, np.random.default_rng(seed)) for seed in range(20)]
    assert all(view is None or view.hu[31:33, 31:33].mean() < -750 for view in views)


def test_the_sample_stream_is_the_one_that_shipped_bundles_were_trained_on(dataset: Dataset, config: Config) -> None:
    """Means of HU, by sample: a change here means that `make train` no longer gives the shipped weights."""
    batch = BatchSource(dataset, config)(0)
    np.testing.assert_allclose(batch.hu.mean(axis=(1, 2, 3)), MEAN_HU, atol=0.2)
    assert batch.targets["mask"].sum() == pytest.approx(MASK_PX, abs=4)
    one_reader = 18 / (8 * 3**0.5 + 8 * 0.4)
    wanted = [3**0.5] * 8 + [0.4] * 4 + [0, 0] + [0.4] * 4  # nodules that nobody rated weigh nothing
    np.testing.assert_allclose(batch.weights["malignancy"], np.array(wanted) * one_reader, rtol=1e-5)
