"""Cross-validation: what networks say about nodules of patients they never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from training import metrics
from training.calibrate import Whitening, fit_whitening, sigmoid
from training.config import Config
from training.datasets import TRAIT_SCALES, Candidate, Dataset, Nodule, hold_out
from training.samples import OUTLINE_LEVEL, candidate_view, nodule_view, random_negative
from training.train import TrainedNetwork, predict, train

Floats = NDArray[np.float64]
PATCHES_AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """One entry per LIDC nodule, each predicted by the network of the fold that excluded its patient.

    `malignancy`, `nodule` and `negative` are logits before calibration; `negative` belongs to a place in the same
    patch that is not a nodule (nan where the patch has none); `distance` is the embedding's Mahalanobis distance.
    """

    patient: NDArray[np.str_]
    fold: NDArray[np.int64]
    median: Floats
    mean: Floats
    readers: NDArray[np.int64]
    true_diameter_mm: Floats
    true_traits: Floats  # (N, 7)
    malignancy: Floats
    nodule: Floats
    negative: Floats
    traits: Floats  # (N, 7), on the rating scales
    dice: Floats
    diameter_mm: Floats
    distance: Floats

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        """Median rating above 3."""
        return np.asarray(self.median > 3)

    def where(self, chosen: NDArray[np.bool_]) -> Self:
        """The same, for some of the nodules."""
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several folds as one."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutCandidates:
    """One entry per LUNA candidate, predicted by the network of the fold that excluded it."""

    fold: NDArray[np.int64]
    is_nodule: NDArray[np.bool_]
    nodule: Floats

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several folds as one."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


def cross_validate(
    dataset: Dataset, config: Config, keep: Callable[[int, TrainedNetwork], None]
) -> tuple[HeldOut, HeldOutCandidates]:
    """Train once per fold on the other folds and predict the one left out; `keep` receives each network."""
    nodules, candidates = [], []
    for number, fold in enumerate(dataset.folds, 1):
        inside, outside = hold_out(dataset, fold)
        trained = train(inside, config, label=f"fold {number}/{len(dataset.folds)}")
        keep(fold, trained)
        whitening = fit_whitening(embed(trained, inside.nodules, config), config.calibration.shrinkage)
        nodules.append(judge_nodules(trained, outside.nodules, whitening, config))
        candidates.append(judge_candidates(trained, outside.candidates, config))
    return HeldOut.joined(nodules), HeldOutCandidates.joined(candidates)


def embed(trained: TrainedNetwork, nodules: Sequence[Nodule], config: Config) -> NDArray[np.float32]:
    """Embeddings (N, D) of the nodules as serving would cut them."""
    spec = config.input.patch_spec
    return predict(trained.network, np.stack([nodule_view(n, spec).hu for n in nodules])).embedding


def judge_nodules(trained: TrainedNetwork, nodules: Sequence[Nodule], whitening: Whitening, config: Config) -> HeldOut:
    """Everything that is measured on nodules, from one network."""
    parts = range(0, len(nodules), PATCHES_AT_ONCE)
    return HeldOut.joined([_judge(trained, nodules[k : k + PATCHES_AT_ONCE], whitening, config) for k in parts])


def _judge(trained: TrainedNetwork, nodules: Sequence[Nodule], whitening: Whitening, config: Config) -> HeldOut:
    spec = config.input.patch_spec
    views = [nodule_view(n, spec) for n in nodules]
    said = predict(trained.network, np.stack([v.hu for v in views]))
    drawn, true = said.mask > 0, np.stack([v.outline > OUTLINE_LEVEL for v in views if v.outline is not None])
    low, high = np.array(list(TRAIT_SCALES.values()), np.float64).T
    return HeldOut(
        patient=np.array([n.patient for n in nodules]),
        fold=np.array([n.fold for n in nodules], np.int64),
        median=np.array([n.median_malignancy for n in nodules]),
        mean=np.array([np.mean(n.malignancy) for n in nodules]),
        readers=np.array([n.readers for n in nodules], np.int64),
        true_diameter_mm=np.array([n.diameter_mm for n in nodules]),
        true_traits=np.array([n.traits for n in nodules]),
        malignancy=said.malignancy.astype(np.float64),
        nodule=said.nodule.astype(np.float64),
        negative=_beside(trained, nodules, config),
        traits=low + (high - low) * sigmoid(said.traits),
        dice=metrics.dice(drawn, true),
        diameter_mm=metrics.diameter_mm(drawn, spec.spacing_mm),
        distance=whitening.distance(said.embedding),
    )


def judge_candidates(trained: TrainedNetwork, candidates: Sequence[Candidate], config: Config) -> HeldOutCandidates:
    """Nodule logits of LUNA candidates, from one network."""
    spec = config.input.patch_spec
    said = predict(trained.network, _stacked([candidate_view(c, spec).hu for c in candidates], spec)).nodule
    return HeldOutCandidates(
        np.array([c.fold for c in candidates], np.int64),
        np.array([c.is_nodule for c in candidates], np.bool_),
        said.astype(np.float64),
    )


def _beside(trained: TrainedNetwork, nodules: Sequence[Nodule], config: Config) -> Floats:
    """Nodule logits (N,) of places beside the nodules, undegraded; nan where a patch has no such place."""
    plain = config.augment.model_copy(update={"jpeg": 0.0, "blur": 0.0, "noise": 0.0, "shift_hu": 0.0, "zoom": 0.0})
    generators = (np.random.default_rng([config.seed, n.nodule_id]) for n in nodules)
    drawn = [random_negative(n, config.input, plain, rng) for n, rng in zip(nodules, generators, strict=True)]
    found = np.array([view is not None for view in drawn])
    logits = np.full(len(nodules), np.nan)
    spec = config.input.patch_spec
    logits[found] = predict(trained.network, _stacked([v.hu for v in drawn if v is not None], spec)).nodule
    return logits


def _stacked(patches: list[NDArray[np.float32]], spec: PatchSpec) -> NDArray[np.float32]:
    empty = np.zeros((0, spec.size_px, spec.size_px), np.float32)
    return np.stack(patches) if patches else empty


def save(path: Path, nodules: HeldOut, candidates: HeldOutCandidates) -> None:
    """Write held-out predictions as .npz, so that figures can be recomputed without training."""
    arrays = {f"nodules.{k}": v for k, v in asdict(nodules).items()}
    np.savez_compressed(path, **arrays, **{f"candidates.{k}": v for k, v in asdict(candidates).items()})


def load(path: Path) -> tuple[HeldOut, HeldOutCandidates]:
    """Read what `save` wrote."""
    with np.load(path) as stored:
        nodules = HeldOut(**{f.name: stored[f"nodules.{f.name}"] for f in fields(HeldOut)})
        return nodules, HeldOutCandidates(**{f.name: stored[f"candidates.{f.name}"] for f in fields(HeldOutCandidates)})
