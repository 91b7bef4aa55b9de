"""Views and batches: what is positive, what is negative, and what repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.imaging.patches import PatchSpec, resample
from training.data.nodules import Dataset
from training.fitting.batches import BatchSource, unit_ratings
from training.fitting.config import Config
from training.fitting.samples import nodule_view, random_easy_negative, random_negative, random_nodule
from training.reporting.phantom import lung_phantom


def test_a_view_is_what_serving_would_cut(dataset: Dataset, config: Config) -> None:
    nodule = dataset.nodules[0]
    whole = np.full((300, 300), -850, np.float32)
    whole[100:171, 120:191] = nodule.hu
    served, outside = resample(whole, (0.7, 0.7), (155.0, 135.0), config.input.patch_spec)
    assert outside == 0
    np.testing.assert_array_equal(nodule_view(nodule, config.input.patch_spec).hu, served)


def test_a_random_nodule_keeps_its_outline_on_itself(dataset: Dataset, config: Config) -> None:
    plain = config.augment.model_copy(update={"jpeg": 0.0, "blur": 0.0, "noise": 0.0})
    for seed in range(20):
        view = random_nodule(dataset.nodules[1], config.input, plain, np.random.default_rng(seed))
        assert view.outline is not None
        inside = view.outline > 0.5
        assert view.hu[inside].mean() > -200
        assert view.hu[~inside].mean() < -750


def test_a_negative_has_no_nodule_at_its_centre(dataset: Dataset, config: Config) -> None:
    for seed in range(20):
        view = random_negative(dataset.nodules[1], config.input, config.augment, np.random.default_rng(seed))
        assert view is not None
        assert view.outline is None
        assert view.hu[28:36, 28:36].mean() < -600


def test_a_patch_that_is_all_nodule_has_no_negative(dataset: Dataset, config: Config) -> None:
    nodule = dataset.nodules[0]
    filled = replace(nodule, outline=np.ones_like(nodule.outline))
    assert random_negative(filled, config.input, config.augment, np.random.default_rng(0)) is None


def test_easy_negatives_are_finite_and_of_the_input_size(config: Config) -> None:
    for seed in range(30):
        hu = random_easy_negative(config.input, config.augment, np.random.default_rng(seed)).hu
        assert hu.shape == (config.input.size_px,) * 2
        assert np.isfinite(hu).all()


def test_batches_depend_on_their_number_alone(dataset: Dataset, config: Config) -> None:
    one, two = BatchSource(dataset, config), BatchSource(dataset, config)
    two(0)
    np.testing.assert_array_equal(one(3).hu, two(3).hu)
    assert not np.array_equal(one(3).hu, one(4).hu)


def test_every_nodule_is_seen_once_in_a_pass(dataset: Dataset, config: Config) -> None:
    source, count = BatchSource(dataset, config), config.batch.lidc_nodules
    seen = [i for k in range(16 // count) for i in source._shuffled(k, count)]
    assert sorted(seen) == list(range(16))


def test_weights_average_one_and_balance_each_source(dataset: Dataset, config: Config) -> None:
    batch = BatchSource(dataset, config)(0)
    for weights in batch.weights.values():
        np.testing.assert_allclose(weights.mean(), 1, rtol=1e-5)
    nodule, weight = batch.targets["nodule"][:, 0], batch.weights["nodule"]
    lidc = config.batch.lidc_nodules + config.batch.lidc_negatives
    positive, negative = weight[:lidc][nodule[:lidc] == 1].sum(), weight[:lidc][nodule[:lidc] == 0].sum()
    np.testing.assert_allclose(positive, negative, rtol=1e-5)
    assert not batch.weights["malignancy"][config.batch.lidc_nodules :].any()


def test_ratings_map_to_their_scales(dataset: Dataset) -> None:
    nodule = replace(dataset.nodules[0], malignancy=(5, 3), traits=(1.0, 6.0, 5.0, 3.0, 1.0, 1.0, 2.0))
    malignancy, traits = unit_ratings(nodule)
    assert malignancy == 0.75
    assert traits == [0, 1, 1, 0.5, 0, 0, 0.25]


def test_the_phantom_is_a_bright_sphere_that_repeats() -> None:
    hu = lung_phantom(PatchSpec(48, 0.7))
    assert hu.dtype == np.int16
    assert hu[22:26, 22:26].mean() > -20
    assert hu[:5].mean() < -800
    np.testing.assert_array_equal(hu, lung_phantom(PatchSpec(48, 0.7)))
