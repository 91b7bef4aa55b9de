"""Held-out predictions and answers made by hand."""

from __future__ import annotations

import numpy as np

from training.data.nodules import TRAIT_SCALES
from training.evaluation.cross_fitting import Answers
from training.evaluation.held_out import HeldOut, HeldOutCandidates

FOLDS = 4


def table(count: int, **given: object) -> HeldOut:
    """Predictions of `count` benign 5 mm nodules of as many patients, but for what is given."""
    fields: dict[str, object] = {
        "patient": np.array([f"P{k}" for k in range(count)]),
        "fold": np.arange(count) % 2,
        "median": np.full(count, 2.0),
        "mean": np.full(count, 2.0),
        "readers": np.full(count, 3),
        "true_diameter_mm": np.full(count, 5.0),
        "true_traits": np.full((count, len(TRAIT_SCALES)), 5.0),
        "traits": np.full((count, len(TRAIT_SCALES)), 5.0),
        "diameter_mm": np.full(count, 5.0),
        "soft_diameter_mm": np.full(count, 5.0),
        "dice": np.full(count, 0.8),
    }
    fields |= dict.fromkeys(("malignancy", "nodule", "negative", "distance"), np.zeros(count))
    return HeldOut(**(fields | given))  # type: ignore[arg-type]  # each field has a type of its own


def answers(**given: list[float]) -> Answers:
    """Answers that say no to everything, but for what is given."""
    count = len(next(iter(given.values())))
    fields = {name: np.zeros(count, np.bool_) for name in Answers.__slots__}
    return Answers(**(fields | {name: np.array(values) for name, values in given.items()}))


def overlapping(count: int, seed: int = 0) -> HeldOut:
    """Predictions of `count` nodules in FOLDS folds: half of them suspicious, larger and scored higher."""
    rng = np.random.default_rng(seed)
    suspicious = rng.random(count) < 0.5
    size = rng.uniform(4, 16, count) + 6 * suspicious
    return table(
        count,
        fold=rng.permutation(count) % FOLDS,
        median=np.where(suspicious, 4.0, 2.0),
        mean=np.where(suspicious, 4.0, 2.0),
        true_diameter_mm=size,
        diameter_mm=size,
        soft_diameter_mm=size,
        malignancy=rng.normal(0, 1, count) + np.where(suspicious, 1.0, -1.0),
        nodule=rng.normal(4, 1, count),
        negative=rng.normal(1, 2, count),
        distance=rng.uniform(1, 5, count),
    )


def candidates_of(count: int, seed: int = 1) -> HeldOutCandidates:
    """Candidates in FOLDS folds, every other one a nodule, with overlap."""
    rng = np.random.default_rng(seed)
    is_nodule = np.arange(count) % 2 == 1
    return HeldOutCandidates(rng.permutation(count) % FOLDS, is_nodule, rng.normal(3, 2, count) + is_nodule)
