"""What is measured of a model on nodules: by one that says what its patches show."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.inference.conformal import soft_diameter_mm
from training.data.nodules import TRAIT_SCALES, Dataset, Votes
from training.evaluation import bundle_study, cross_validation, predictions
from training.evaluation.calibration import sigmoid
from training.evaluation.held_out import HeldOut
from training.evaluation.predictions import Outputs, places_beside, predict_candidates, predict_nodules
from training.fitting.config import Config
from training.fitting.samples import candidate_view, nodule_view
from training.fitting.train import Logits
from training.fitting.whitening import Whitening

SURE, UNSURE = 0.9, 0.4  # mask probabilities inside and around what a patch shows
PLAIN = Whitening(np.zeros(1, np.float32), np.eye(1, dtype=np.float32))


def outlining(hu: NDArray[np.float32]) -> Outputs:
    """Draws what is denser than -400 HU, is unsure about what is denser than lung, and scores by the mean HU."""
    mean = hu.mean(axis=(1, 2), dtype=np.float64)
    mask = np.where(hu > -400, SURE, np.where(hu > -900, UNSURE, 0.0))
    traits, embedding = np.repeat(mean[:, None], 7, axis=1), mean[:, None].astype(np.float32)
    return Outputs(mean, mean / 100, traits, mask, embedding, hu.astype(np.float64))


def test_the_outline_is_drawn_where_the_mask_says_more_yes_than_no(dataset: Dataset, config: Config) -> None:
    found = predict_nodules(outlining, dataset.nodules, PLAIN, config)
    assert (found.dice > 0.9).all()
    np.testing.assert_allclose(found.diameter_mm, found.true_diameter_mm, atol=0.6)
    patch = np.stack([nodule_view(n, config.input.patch_spec).hu for n in dataset.nodules])
    areas = outlining(patch).mask.sum(axis=(1, 2)) * config.input.spacing_mm**2
    np.testing.assert_allclose(found.soft_diameter_mm, 2 * np.sqrt(areas / np.pi))
    np.testing.assert_allclose(found.distance, np.abs(patch.mean(axis=(1, 2))), rtol=1e-5)


def test_how_many_patches_are_asked_about_at_once_changes_nothing(
    dataset: Dataset, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict_nodules(outlining, dataset.nodules, PLAIN, config)
    monkeypatch.setattr(predictions, "PATCHES_AT_ONCE", 3)
    parts = predict_nodules(outlining, dataset.nodules, PLAIN, config)
    for field in fields(HeldOut):
        np.testing.assert_array_equal(getattr(parts, field.name), getattr(whole, field.name))


def graph_of(hu: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """A bundle's graph whose malignancy and nodule follow from the first pixel."""
    share = np.asarray(hu[:, 0, 0] / 100, np.float32)
    return {"malignancy": share, "nodule": share, "traits": np.repeat(share[:, None], 7, axis=1), "mask": hu,
            "embedding": hu[:, 0], "evidence": hu}  # fmt: skip


def test_a_graph_is_asked_in_parts_and_its_probabilities_become_finite_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_study, "PATCHES_AT_ONCE", 2)
    percent = np.array([0, 10, 50, 90, 100], np.float32)
    said = bundle_study.model_of(graph_of)(np.tile(percent[:, None, None], (1, 4, 4)))
    assert np.isfinite(said.malignancy).all()
    np.testing.assert_allclose(sigmoid(said.malignancy), percent / 100, atol=1e-6)
    np.testing.assert_array_equal(said.nodule, said.malignancy)
    np.testing.assert_array_equal(said.embedding[:, 0], percent)


def test_dice_is_with_one_reader_and_with_what_half_of_them_hold_for_nodule(dataset: Dataset, config: Config) -> None:
    nodule = dataset.nodules[0]
    assert nodule.outline is not None
    wide = cv2.dilate(nodule.outline.astype(np.uint8), np.ones((5, 5), np.uint8))
    agreed = replace(nodule, votes=Votes(np.asarray(nodule.outline * 2 + wide, np.uint8), 3), outline=wide.astype(bool))
    found = predict_nodules(outlining, (agreed, nodule), PLAIN, config)
    assert found.outlines.tolist() == [3, 0]
    assert found.dice_consensus[0] == found.dice[1] > found.dice[0]
    assert np.isnan(found.dice_consensus[1])


def test_places_that_are_no_nodule_have_a_score_and_a_size(dataset: Dataset, config: Config) -> None:
    found = predict_nodules(outlining, dataset.nodules, PLAIN, config)
    views = [view.hu for view in places_beside(dataset.nodules, config) if view is not None]
    said = outlining(np.stack(views))
    np.testing.assert_allclose(found.negative_malignancy, said.malignancy)
    np.testing.assert_allclose(found.negative_soft_mm, soft_diameter_mm(said.mask, config.input.spacing_mm))
    candidates = predict_candidates(outlining, dataset.candidates, config)
    of_candidates = outlining(np.stack([candidate_view(c, config.input.patch_spec).hu for c in dataset.candidates]))
    np.testing.assert_allclose(candidates.malignancy, of_candidates.malignancy)
    np.testing.assert_allclose(
        candidates.soft_diameter_mm, soft_diameter_mm(of_candidates.mask, config.input.spacing_mm)
    )


def test_a_nodule_without_an_outline_has_no_dice(dataset: Dataset, config: Config) -> None:
    bare = (replace(dataset.nodules[0], outline=None), dataset.nodules[1])
    assert np.isnan(predict_nodules(outlining, bare, PLAIN, config).dice).tolist() == [True, False]


def test_places_beside_nodules_are_undegraded_and_always_the_same(dataset: Dataset, config: Config) -> None:
    degraded = config.augment.model_copy(update={"noise": 1.0, "noise_hu": (200.0, 200.0)})
    noisy = config.model_copy(update={"augment": degraded})
    for first, again in zip(places_beside(dataset.nodules, config), places_beside(dataset.nodules, noisy), strict=True):
        assert first is not None
        assert again is not None
        np.testing.assert_array_equal(first.hu, again.hu)


def test_a_patch_that_is_all_nodule_has_no_score_beside_it(dataset: Dataset, config: Config) -> None:
    filled = replace(dataset.nodules[0], outline=np.ones_like(dataset.nodules[0].outline))
    found = predict_nodules(outlining, (dataset.nodules[1], filled, dataset.nodules[2]), PLAIN, config)
    places = places_beside((dataset.nodules[1], dataset.nodules[2]), config)
    assert np.isnan(found.negative[1])
    wanted = [view.hu.mean(dtype=np.float64) / 100 for view in places if view is not None]
    np.testing.assert_allclose(found.negative[[0, 2]], wanted)


def test_data_without_candidates_has_no_predictions_of_them(config: Config) -> None:
    assert len(predict_candidates(outlining, (), config).nodule) == 0


def test_a_networks_traits_lie_on_the_rating_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(_: object, hu: NDArray[np.float32]) -> Logits:
        extremes = np.array([[-40.0] * 7, [40.0] * 7, [0.0] * 7], np.float32)
        return Logits(np.zeros(3, np.float32), np.ones(3, np.float32), extremes, hu - 1, hu[:, 0], hu)

    monkeypatch.setattr(cross_validation, "predict", predict)
    said = cross_validation.model_of(None)(np.ones((3, 4, 4), np.float32))
    low, high = np.array(list(TRAIT_SCALES.values()), np.float64).T
    np.testing.assert_allclose(said.traits, [low, high, (low + high) / 2])
    np.testing.assert_array_equal(said.mask, 0.5)
