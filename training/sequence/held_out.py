"""What each way of judging a nodule says of nodules whose patients it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.sequence import INSIDE
from training.data.nodules import DatasetMalformed
from training.evaluation.calibration import MIN_SLOPE, sigmoid
from training.evaluation.metrics import Flags, Floats
from training.evaluation.stated_and_observed import calibration_line
from training.sequence.artefacts import LEFT_OUT, SHIPPED, TrainedSequences
from training.sequence.baselines import profile_logits
from training.sequence.fit import logits
from training.sequence.samples import arrays_of, sample_of
from training.sequence.stacks import Stack, judged

GRU: Final = "gru"
DIAMETER: Final = "diameter"
MIDDLE: Final = "middle_slice"
POOLINGS: Final = ("mean", "maximum", "weighted_by_area")
MAX_SLOPE: Final = 20.0  # separable cases have no finite one
WAYS: Final = (DIAMETER, "area_profile", MIDDLE, *POOLINGS, GRU)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutStacks:
    """The judged nodules (N,) and the score of each way on them; `fold` is the one that the network left out."""

    patients: tuple[str, ...]
    fold: NDArray[np.intp]
    suspicious: Flags
    diameter_mm: Floats
    scores: Mapping[str, Floats]


def held_out(trained: TrainedSequences, stacks: Sequence[Stack]) -> HeldOutStacks:
    """Each judged nodule by the network that left out its fold; raises DatasetMalformed where that has seen it."""
    asked: list[Stack] = []
    scores: dict[str, list[Floats]] = {way: [] for way in WAYS}
    for name, fold in LEFT_OUT.items():
        own = [stack for stack in judged(stacks) if stack.fold == fold]
        if name == SHIPPED or not own:
            continue
        require_unseen(trained.run.seen[name], own)
        others = [stack for stack in stacks if stack.fold != fold]
        said = _of_networks(trained, name, own) | {
            DIAMETER: np.array([stack.diameter_mm for stack in own]),
            "area_profile": profile_logits(others, own, trained.run.config.evaluation.inverse_strength),
        }
        asked += own
        for way in WAYS:
            scores[way].append(said[way])
    return HeldOutStacks(
        patients=tuple(stack.patient for stack in asked),
        fold=np.array([stack.fold for stack in asked], np.intp),
        suspicious=np.array([stack.suspicious for stack in asked]),
        diameter_mm=np.array([stack.diameter_mm for stack in asked]),
        scores={way: np.concatenate(parts) for way, parts in scores.items()},
    )


def require_unseen(seen: Sequence[str], stacks: Sequence[Stack]) -> None:
    """Raise DatasetMalformed when a patient of the stacks is among those that weights have seen."""
    if leaked := {stack.patient for stack in stacks} & set(seen):
        raise DatasetMalformed(
            found=f"{len(leaked)} patients to be judged among those that the weights have seen",
            expected="a network that left out their fold",
            remedy="Train again.",
        )


def pooled(alone: Floats, areas: Floats) -> dict[str, Floats]:
    """Of logits (N, slices) and areas of the same shape, 0 where there is no slice: the logit (N,) of the middle slice,
    and the logits' mean, maximum and mean by area."""
    there = areas > 0
    count = there.sum(axis=1)
    # The earlier of two middle ones.
    middle = alone[np.arange(len(alone)), (count - 1) // 2]
    return {
        MIDDLE: middle,
        "mean": np.where(there, alone, 0).sum(axis=1) / count,
        "maximum": np.where(there, alone, -np.inf).max(axis=1),
        "weighted_by_area": (alone * areas).sum(axis=1) / areas.sum(axis=1),
    }


def calibrated(scores: Floats, fold: NDArray[np.intp], suspicious: Flags) -> Floats:
    """Probabilities (N,), those of each fold by a line that was fitted on the others."""
    probability = np.full(len(scores), np.nan)
    for number in np.unique(fold):
        others = fold != number
        slope, intercept = fit_line(scores[others], suspicious[others])
        probability[~others] = sigmoid(slope * scores[~others] + intercept)
    return probability


def fit_line(scores: Floats, suspicious: Flags) -> tuple[float, float]:
    """Slope and intercept of the calibrated logit (Platt 1999), the slope at least MIN_SLOPE; raises ValueError where
    all nodules are suspicious, or none is."""
    slope, intercept = calibration_line(suspicious, sigmoid(scores), (MIN_SLOPE, MAX_SLOPE))
    if not np.isfinite(slope):
        raise ValueError("calibration needs both suspicious and benign nodules among the held-out ones")
    return slope, intercept


def _of_networks(trained: TrainedSequences, name: str, stacks: Sequence[Stack]) -> dict[str, Floats]:
    contract = trained.run.config.input.contract
    arrays = arrays_of([sample_of(stack, contract) for stack in stacks], contract)
    alone, together = (each.astype(np.float64) for each in logits(trained.networks[name], arrays))
    areas = arrays[..., INSIDE].sum(axis=(2, 3), dtype=np.float64)
    return {GRU: together, **pooled(alone, areas)}
