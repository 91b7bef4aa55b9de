"""Views and batches: what is positive, what is negative, and what repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.imaging.patches import PatchSpec, resample
from training.data.nodules import Dataset
from training.fitting.batches import EASY_WEIGHT, BatchSource, unit_ratings
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
    unknown = slice(lidc, lidc + config.batch.luna_nodules)  # nodules that nobody rated
    assert not batch.weights["malignancy"][unknown].any()


def test_more_readers_weigh_more(dataset: Dataset, config: Config) -> None:
    few = tuple(replace(n, malignancy=(4,)) if k % 2 else n for k, n in enumerate(dataset.nodules))
    source = BatchSource(replace(dataset, nodules=few), config)
    weights = source(0).weights["malignancy"][: config.batch.lidc_nodules]
    drawn = [few[i].readers for i in source._shuffled(0, config.batch.lidc_nodules)]
    assert config.optimiser.reader_exponent == 0.5
    np.testing.assert_allclose(weights / weights.max(), np.sqrt(np.array(drawn) / 3), rtol=1e-5)


def test_generated_negatives_have_a_small_share_of_the_nodule_loss(dataset: Dataset, config: Config) -> None:
    batch, count = BatchSource(dataset, config)(0), config.batch
    weight, easy = batch.weights["nodule"], config.batch.synthetic
    assert weight[-easy:].sum() / weight.sum() == pytest.approx(EASY_WEIGHT / (EASY_WEIGHT + 4 * 0.25), rel=1e-5)
    assert len(weight) == count.size


def test_everything_in_a_batch_depends_on_its_number(dataset: Dataset, config: Config) -> None:
    one, other = (BatchSource(dataset, config)(k).hu for k in (3, 4))
    assert not [k for k in range(len(one)) if np.array_equal(one[k], other[k])]
    # The last ones are generated, from nothing but the random numbers.
    assert not np.allclose(one[-1].mean(), other[-1].mean(), atol=1e-3)


def test_each_pass_has_an_order_of_its_own(dataset: Dataset, config: Config) -> None:
    source, total = BatchSource(dataset, config), len(dataset.nodules)
    assert source._shuffled(0, total) != source._shuffled(1, total)


def test_negatives_keep_clear_of_the_neighbours(dataset: Dataset, config: Config) -> None:
    """A neighbour 14 mm away, drawn bright: no negative may show it in its middle."""
    first, offset_px = dataset.nodules[0], 20
    y, x = np.mgrid[:71, :71] - 35
    bright = np.where(np.hypot(x - offset_px, y) < 7, 2000, first.hu).astype(np.int16)
    column, row = first.point_px
    nodule = replace(first, hu=bright, neighbours_px=((column + offset_px, row),))
    plain = config.augment.model_copy(update={"jpeg": 0.0, "blur": 0.0, "noise": 0.0, "zoom": 0.0})
    views = [random_negative(nodule, config.input, plain, np.random.default_rng(seed)) for seed in range(40)]
    assert [view for view in views if view is not None]
    assert not [view for view in views if view is not None and view.hu[31:33, 31:33].max() > 1000]


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
