"""Predictions about nodules and candidates that a model never saw, beside what is known of them; as .npz on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from training.data.nodules import Nodule
from training.evaluation.metrics import Floats
from training.fitting.checkpoints import write_whole
from training.fitting.identity import Facts


class PredictionsOutdated(InputError):
    """Stored predictions lack something that is measured today."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """One entry per LIDC nodule, each predicted by the network of the fold that excluded its patient.

    `malignancy`, `nodule` and `negative` are logits before calibration; `negative` (nodule), `negative_malignancy` and
    `negative_soft_mm` belong to a place in the same patch that is not a nodule (nan where the patch has none);
    `distance` is the embedding's Mahalanobis distance. `dice` is with one reader's outline, `dice_consensus` with what
    half of the `outlines` readers hold for nodule, as is `peak_inside`; nan where that is not known. `peak_inside` and
    the two falls are what `evidence` measures.
    """

    patient: NDArray[np.str_]
    lesion: NDArray[np.str_]  # the same for all patches of one lesion
    fold: NDArray[np.int64]
    median: Floats
    mean: Floats
    readers: NDArray[np.int64]
    outlines: NDArray[np.int64]  # readers who outlined it on this slice; 0 where that is not known
    true_diameter_mm: Floats
    true_traits: Floats  # (N, 7)
    malignancy: Floats
    nodule: Floats
    negative: Floats
    negative_malignancy: Floats
    negative_soft_mm: Floats
    traits: Floats  # (N, 7), on the rating scales
    dice: Floats
    dice_consensus: Floats
    diameter_mm: Floats
    soft_diameter_mm: Floats  # of the mask's probabilities; what calibration takes
    distance: Floats
    peak_inside: Floats  # 0 or 1
    fall_by_evidence: Floats  # of the malignancy logit
    fall_by_chance: Floats

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        """Median rating above 3."""
        return np.asarray(self.median > 3)

    @property
    def largest_of_lesion(self) -> NDArray[np.bool_]:
        """The patch of each lesion whose diameter is largest; of equal ones the first, of unknown ones the last."""
        falling = np.argsort(-np.where(np.isnan(self.true_diameter_mm), -np.inf, self.true_diameter_mm), kind="stable")
        _, first = np.unique(self.lesion[falling], return_index=True)
        largest = np.zeros(len(falling), np.bool_)
        largest[falling[first]] = True
        return largest

    def where(self, chosen: NDArray[np.bool_]) -> Self:
        """The same, for some of the nodules."""
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several folds as one."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutCandidates:
    """One entry per LUNA candidate, predicted by the network of the fold that excluded it; logits as in `HeldOut`."""

    fold: NDArray[np.int64]
    is_nodule: NDArray[np.bool_]
    nodule: Floats
    malignancy: Floats
    soft_diameter_mm: Floats

    def where(self, chosen: NDArray[np.bool_]) -> Self:
        """The same, for some of the candidates."""
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several folds as one."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


def truth_of(nodules: Sequence[Nodule]) -> dict[str, NDArray[Any]]:
    """What is known of the nodules, whatever model speaks about them: the first fields of `HeldOut`."""
    return {
        "patient": np.array([n.patient for n in nodules]),
        "lesion": np.array([n.lesion or f"nodule {n.nodule_id}" for n in nodules]),
        "fold": np.array([n.fold for n in nodules], np.int64),
        "median": np.array([n.median_malignancy for n in nodules]),
        "mean": np.array([np.mean(n.malignancy) for n in nodules]),
        "readers": np.array([n.readers for n in nodules], np.int64),
        "outlines": np.array([n.votes.readers if n.votes else 0 for n in nodules], np.int64),
        "true_diameter_mm": np.array([n.diameter_mm for n in nodules]),
        "true_traits": np.array([n.traits for n in nodules]),
    }


def save(path: Path, nodules: HeldOut, candidates: HeldOutCandidates, facts: Facts | None = None) -> None:
    """Write held-out predictions as .npz, so that figures can be recomputed without training."""
    arrays = {f"nodules.{k}": v for k, v in asdict(nodules).items()}
    write_whole(path, arrays | {f"candidates.{k}": v for k, v in asdict(candidates).items()}, facts or {})


def load(path: Path) -> tuple[HeldOut, HeldOutCandidates]:
    """Read what `save` wrote; raises PredictionsOutdated when an older version wrote it."""
    with np.load(path) as stored:
        nodules = HeldOut(**{f.name: _stored(stored, f"nodules.{f.name}") for f in fields(HeldOut)})
        found = {f.name: _stored(stored, f"candidates.{f.name}") for f in fields(HeldOutCandidates)}
    return nodules, HeldOutCandidates(**found)


def _stored(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in arrays:
        raise PredictionsOutdated(
            found=f"predictions without {name}, written by an older version",
            expected="everything that is measured today",
            remedy="Run scripts/evaluate.py without --again: networks that are there are asked, not trained again.",
        )
    return arrays[name]
