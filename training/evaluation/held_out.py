"""Cross-validation: what networks say about nodules of patients they never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.data.datasets import hold_out
from training.data.nodules import TRAIT_SCALES, Candidate, Dataset, Nodule
from training.evaluation import metrics
from training.evaluation.calibration import Whitening, fit_whitening, sigmoid
from training.fitting.artefacts import write_network
from training.fitting.checkpoints import facts_in, write_whole
from training.fitting.config import Config
from training.fitting.identity import Facts, fold_facts
from training.fitting.samples import OUTLINE_LEVEL, View, candidate_view, nodule_view, random_negative
from training.fitting.train import TrainedNetwork, predict, train

Floats = NDArray[np.float64]
PATCHES_AT_ONCE = 512
ANSWERS_FILE = "answers.npz"  # of one fold


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
    soft_diameter_mm: Floats  # of the mask's probabilities; what calibration takes
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
    dataset: Dataset, config: Config, folder: Path | None = None, *, restart: bool = False
) -> tuple[HeldOut, HeldOutCandidates]:
    """Train once per fold on the other folds and predict the one left out.

    With a `folder`, each fold's network, log and answers are kept in its `fold<k>`; what is there already from the
    same configuration, data and code is used as it is, and a fold that was interrupted goes on, unless `restart`.
    Raises OtherRun when a fold's folder holds another run.
    """
    nodules, candidates = [], []
    for number, fold in enumerate(dataset.folds, 1):
        place = folder / f"fold{fold}" if folder else None
        label = f"fold {number}/{len(dataset.folds)}"
        of_nodules, of_candidates = judge_fold(dataset, config, fold, label=label, folder=place, restart=restart)
        nodules.append(of_nodules)
        candidates.append(of_candidates)
    return HeldOut.joined(nodules), HeldOutCandidates.joined(candidates)


def judge_fold(
    dataset: Dataset, config: Config, fold: int, *, label: str, folder: Path | None = None, restart: bool = False
) -> tuple[HeldOut, HeldOutCandidates]:
    """One fold of `cross_validate`."""
    inside, outside = hold_out(dataset, fold)
    facts = fold_facts(inside, outside, config)
    if folder and not restart and (kept := _kept(folder / ANSWERS_FILE, facts)):
        return kept
    trained = train(inside, config, label=label, folder=folder, restart=restart)
    whitening = fit_whitening(embed(trained, inside.nodules, config), config.calibration.shrinkage)
    nodules = judge_nodules(trained, outside.nodules, whitening, config)
    candidates = judge_candidates(trained, outside.candidates, config)
    if folder:
        write_network(folder, trained)
        save(folder / ANSWERS_FILE, nodules, candidates, facts)
    return nodules, candidates


def _kept(path: Path, facts: Facts) -> tuple[HeldOut, HeldOutCandidates] | None:
    """The answers in `path`, if they are there and are those that `facts` would give."""
    if not path.is_file():
        return None
    with np.load(path) as stored:
        there = facts_in(stored)
    return load(path) if there == facts else None


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
    drawn = said.mask > 0
    low, high = np.array(list(TRAIT_SCALES.values()), np.float64).T
    return HeldOut(
        **truth_of(nodules),
        malignancy=said.malignancy.astype(np.float64),
        nodule=said.nodule.astype(np.float64),
        negative=_beside(trained, nodules, config),
        traits=low + (high - low) * sigmoid(said.traits),
        dice=outline_dice(drawn, views),
        diameter_mm=metrics.diameter_mm(drawn, spec.spacing_mm),
        soft_diameter_mm=metrics.soft_diameter_mm(sigmoid(said.mask), spec.spacing_mm),
        distance=whitening.distance(said.embedding),
    )


def truth_of(nodules: Sequence[Nodule]) -> dict[str, NDArray[Any]]:
    """What is known of the nodules whoever judges them: the first fields of `HeldOut`."""
    return {
        "patient": np.array([n.patient for n in nodules]),
        "fold": np.array([n.fold for n in nodules], np.int64),
        "median": np.array([n.median_malignancy for n in nodules]),
        "mean": np.array([np.mean(n.malignancy) for n in nodules]),
        "readers": np.array([n.readers for n in nodules], np.int64),
        "true_diameter_mm": np.array([n.diameter_mm for n in nodules]),
        "true_traits": np.array([n.traits for n in nodules]),
    }


def outline_dice(drawn: NDArray[np.bool_], views: Sequence[View]) -> Floats:
    """Dice (N,) of masks (N, size, size) with the reader's outlines; nan where there is none."""
    known = np.array([view.outline is not None for view in views], np.bool_)
    overlap = np.full(len(views), np.nan)
    if known.any():
        true = np.stack([view.outline > OUTLINE_LEVEL for view in views if view.outline is not None])
        overlap[known] = metrics.dice(drawn[known], true)
    return overlap


def judge_candidates(trained: TrainedNetwork, candidates: Sequence[Candidate], config: Config) -> HeldOutCandidates:
    """Nodule logits of LUNA candidates, from one network."""
    spec = config.input.patch_spec
    said = _nodule_logits(trained, [candidate_view(c, spec).hu for c in candidates])
    return HeldOutCandidates(
        np.array([c.fold for c in candidates], np.int64),
        np.array([c.is_nodule for c in candidates], np.bool_),
        said,
    )


def _beside(trained: TrainedNetwork, nodules: Sequence[Nodule], config: Config) -> Floats:
    """Nodule logits (N,) of places beside the nodules; nan where a patch has no such place."""
    drawn = places_beside(nodules, config)
    found = np.array([view is not None for view in drawn])
    logits = np.full(len(nodules), np.nan)
    logits[found] = _nodule_logits(trained, [v.hu for v in drawn if v is not None])
    return logits


def places_beside(nodules: Sequence[Nodule], config: Config) -> list[View | None]:
    """A place beside each nodule, undegraded and the same at every call; None where a patch has no such place."""
    plain = config.augment.model_copy(update={"jpeg": 0.0, "blur": 0.0, "noise": 0.0, "shift_hu": 0.0, "zoom": 0.0})
    generators = (np.random.default_rng([config.seed, n.nodule_id]) for n in nodules)
    return [random_negative(n, config.input, plain, rng) for n, rng in zip(nodules, generators, strict=True)]


def _nodule_logits(trained: TrainedNetwork, patches: list[NDArray[np.float32]]) -> Floats:
    # Data of a site's own have no candidates, and a network refuses an empty batch.
    if not patches:
        return np.zeros(0)
    return predict(trained.network, np.stack(patches)).nodule.astype(np.float64)


def save(path: Path, nodules: HeldOut, candidates: HeldOutCandidates, facts: Facts | None = None) -> None:
    """Write held-out predictions as .npz, so that figures can be recomputed without training."""
    arrays = {f"nodules.{k}": v for k, v in asdict(nodules).items()}
    write_whole(path, arrays | {f"candidates.{k}": v for k, v in asdict(candidates).items()}, facts or {})


def load(path: Path) -> tuple[HeldOut, HeldOutCandidates]:
    """Read what `save` wrote."""
    with np.load(path) as stored:
        nodules = HeldOut(**{f.name: stored[f"nodules.{f.name}"] for f in fields(HeldOut)})
        return nodules, HeldOutCandidates(**{f.name: stored[f"candidates.{f.name}"] for f in fields(HeldOutCandidates)})
