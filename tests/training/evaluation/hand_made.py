"""Held-out predictions, answers and networks made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.nodules import TRAIT_SCALES, Dataset, Nodule
from training.evaluation import cross_validation
from training.evaluation.cross_fitting import Answers, CandidateAnswers
from training.evaluation.held_out import HeldOut, HeldOutCandidates
from training.evaluation.readers import OutlineAgreement, pair_readers
from training.evaluation.study import Study
from training.fitting.train import Logits, TrainedNetwork

FOLDS = 4


def table(count: int, **given: object) -> HeldOut:
    """Predictions of `count` benign 5 mm nodules of as many patients, but for what is given."""
    fields: dict[str, object] = {
        "patient": np.array([f"P{k}" for k in range(count)]),
        "lesion": np.array([f"lesion {k}" for k in range(count)]),
        "fold": np.arange(count) % 2,
        "median": np.full(count, 2.0),
        "mean": np.full(count, 2.0),
        "readers": np.full(count, 3),
        "outlines": np.full(count, 3),
        "true_diameter_mm": np.full(count, 5.0),
        "true_traits": np.full((count, len(TRAIT_SCALES)), 5.0),
        "traits": np.full((count, len(TRAIT_SCALES)), 5.0),
        "diameter_mm": np.full(count, 5.0),
        "soft_diameter_mm": np.full(count, 5.0),
        "dice": np.full(count, 0.8),
        "dice_consensus": np.full(count, 0.8),
        "negative_soft_mm": np.full(count, 5.0),
        "peak_inside": np.full(count, np.nan),
    }
    logits = ["malignancy", "nodule", "negative", "negative_malignancy", "distance"]
    logits += ["fall_by_evidence", "fall_by_chance"]
    fields |= dict.fromkeys(logits, np.zeros(count))
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
        negative_malignancy=rng.normal(0, 2, count),
        distance=rng.uniform(1, 5, count),
    )


def candidates_of(count: int, seed: int = 1) -> HeldOutCandidates:
    """Candidates in FOLDS folds, every other one a nodule, with overlap."""
    rng = np.random.default_rng(seed)
    is_nodule = np.arange(count) % 2 == 1
    fold, nodule = rng.permutation(count) % FOLDS, rng.normal(3, 2, count) + is_nodule
    return HeldOutCandidates(fold, is_nodule, nodule, rng.normal(0, 2, count), rng.uniform(3, 20, count))


def study_of(nodules: HeldOut, said: Answers, cases: Sequence[Nodule] | None = None, **given: Any) -> Study:
    """A study of these nodules and answers, without readers, candidates or diagnoses but for what is given."""
    count, nothing = len(nodules.fold), np.zeros(0)
    fields: dict[str, Any] = {
        "cases": tuple(cases) if cases is not None else (None,) * count,
        "logistic": np.full(count, np.nan),
        "readers": pair_readers([], {}, 2),
        "candidates": candidates_of(0),
        "candidate_answers": CandidateAnswers(nothing.astype(bool), nothing.astype(bool)),
        "agreement": OutlineAgreement(nothing.astype(int), nothing, nothing.astype(int), nothing),
        "diagnoses": {},
    }
    return Study(nodules=nodules, answers=said, **(fields | given))


class Summary:
    """A network that knows one number of what it was trained on, and adds it to everything that it says."""

    def __init__(self, seen: Dataset) -> None:
        self.seen = float(sum(np.sum(n.malignancy) + np.sum(n.traits) + n.hu.mean() for n in seen.nodules))

    def says(self, hu: NDArray[np.float32]) -> Logits:
        """Embeddings of a few pixels each, so that their statistics are those of the patches."""
        pixels = hu[:, ::16, ::16].reshape(len(hu), -1)
        one = (hu.mean(axis=(1, 2)) + np.float32(self.seen))[:, None]
        return Logits(one[:, 0], one[:, 0], np.repeat(one, 7, axis=1), hu + np.float32(self.seen), pixels, hu)


def knowing_what_they_saw(monkeypatch: pytest.MonkeyPatch) -> list[Dataset]:
    """Have cross-validation train Summaries; what each was trained on, as it happens."""
    trained: list[Dataset] = []

    def train(seen: Dataset, *_: object, **__: object) -> TrainedNetwork:
        trained.append(seen)
        return TrainedNetwork(Summary(seen), ())

    def predict(network: Summary, hu: NDArray[np.float32]) -> Logits:
        return network.says(hu)

    monkeypatch.setattr(cross_validation, "train", train)
    monkeypatch.setattr(cross_validation, "predict", predict)
    monkeypatch.setattr(cross_validation, "write_network", lambda *_: None)
    return trained
