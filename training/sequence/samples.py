"""Stacks as arrays at the network's spacing, and the batches that training takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.inference.sequence import HU, INSIDE, StackContract, arranged
from training.sequence.config import AugmentConfig, SequenceConfig
from training.sequence.network import SEQUENCE, SLICES
from training.sequence.stacks import Stack

Floats = NDArray[np.float32]
Arrays = dict[str, Floats]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A stack cut out and resampled: `hu` and `inside` float32 (slices, size, size), `heights_mm` (slices,), and the
    readers' mean suspicion, 0 to 1."""

    hu: Floats
    inside: Floats
    heights_mm: NDArray[np.float64]
    target: float


def sample_of(stack: Stack, contract: StackContract) -> Sample:
    """A stack at the network's spacing, all its slices."""
    hu, inside = zip(*(each.patch(contract.patch_spec) for each in stack.slices), strict=True)
    return Sample(np.stack(hu), np.stack(inside), stack.heights_mm, stack.target)


def arrays_of(samples: Sequence[Sample], contract: StackContract) -> Floats:
    """The samples as the service would show them to the network, float32 (N, *contract.shape)."""
    return np.stack([arranged(each.hu, each.inside, each.heights_mm, contract) for each in samples])


def random_stack(sample: Sample, config: SequenceConfig, rng: Rng) -> Floats:
    """A sample as another scan, another reader's slices, and another end might have shown it."""
    kept = np.flatnonzero(rng.random(len(sample.hu)) >= config.augment.drop)
    order = kept if len(kept) else np.arange(len(sample.hu))
    if rng.random() < 0.5:  # the data's own order is the XML's
        order = order[::-1]
    stack = arranged(sample.hu[order], sample.inside[order], sample.heights_mm[order], config.input.contract)
    turned = np.rot90(stack, int(rng.integers(4)), axes=(1, 2))
    stack = np.ascontiguousarray(turned[:, :, ::-1] if rng.random() < 0.5 else turned)
    stack[..., HU] += _disturbance(stack[..., INSIDE], config.augment, rng)
    return stack


def _disturbance(inside: Floats, augment: AugmentConfig, rng: Rng) -> Floats:
    shift = rng.uniform(-augment.shift_hu, augment.shift_hu)
    return np.asarray(inside * (shift + augment.noise_hu * rng.standard_normal(inside.shape)), np.float32)


class StackBatches:
    """Batches by number, the same whenever they are asked for: stacks of like length, targets and weights.

    Every epoch is whole: its last batch is filled up from its beginning.
    """

    def __init__(self, samples: Sequence[Sample], config: SequenceConfig, seed: int) -> None:
        self._samples, self._config, self._seed = samples, config, seed
        self._per_epoch = -(-len(samples) // config.learning.batch)

    @property
    def total(self) -> int:
        """Batches of a whole run."""
        return self._per_epoch * self._config.learning.epochs

    def __call__(self, number: int) -> tuple[Floats, Arrays, Arrays]:
        """`slices` (N, slices, size, size, 3), no more slices than the longest has; targets and weights by output."""
        epoch, place = divmod(number, self._per_epoch)
        rng = np.random.default_rng([self._seed, epoch, place])
        chosen = [self._samples[k] for k in self._order(epoch)[place].tolist()]
        stacks = np.stack([random_stack(sample, self._config, rng) for sample in chosen])
        there = stacks[..., INSIDE].max(axis=(2, 3)) > 0
        longest = int(there.sum(axis=1).max())
        stacks, there = stacks[:, :longest], there[:, :longest]
        target = np.array([sample.target for sample in chosen], np.float32)
        # Each nodule counts the same, whether it shows on two slices or on eight.
        weights = there * (longest / there.sum(axis=1, keepdims=True))
        return (
            stacks,
            {SLICES: np.repeat(target[:, None, None], longest, axis=1), SEQUENCE: target[:, None]},
            {SLICES: weights.astype(np.float32), SEQUENCE: np.ones(len(chosen), np.float32)},
        )

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """The samples of each batch of an epoch, (batches, batch)."""
        rng = np.random.default_rng([self._seed, epoch])
        size = self._config.learning.batch
        shuffled = rng.permutation(len(self._samples))
        filled = np.resize(shuffled, self._per_epoch * size)
        # Padding takes time and changes nothing: what is of like length goes together.
        lengths = np.array([len(self._samples[k].hu) for k in filled.tolist()])
        batches = filled[np.argsort(lengths, kind="stable")].reshape(-1, size)
        return batches[rng.permutation(len(batches))]
