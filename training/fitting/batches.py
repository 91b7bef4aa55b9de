"""Training batches: how samples of five kinds are drawn, and which of them teaches which output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.nodules import MALIGNANCY_SCALE, TRAIT_SCALES, Candidate, Dataset, Nodule
from training.fitting.config import Config
from training.fitting.samples import (
    View,
    random_candidate,
    random_easy_negative,
    random_false_finding,
    random_negative,
    random_nodule,
)

Arrays = dict[str, NDArray[np.float32]]
EASY_WEIGHT = 0.15  # share of the nodule loss for generated negatives; each real class of each source has 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """`hu` (N, size, size, 1) in HU; targets and per-sample weights by output, each weight averaging 1."""

    hu: NDArray[np.float32]
    targets: Arrays
    weights: Arrays


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    view: View
    is_nodule: bool
    source: str
    nodule: Nodule | None = None


class BatchSource:
    """Batches by number: batch k depends on the configuration, the data and k alone, so a run can be resumed."""

    def __init__(self, dataset: Dataset, config: Config) -> None:
        self._config = config
        self._nodules = dataset.nodules
        self._positives = tuple(c for c in dataset.candidates if c.is_nodule)
        self._negatives = tuple(c for c in dataset.candidates if not c.is_nodule)
        self._false_findings = dataset.false_findings
        if not self._nodules:
            raise ValueError("a training set needs at least one nodule")

    def __call__(self, number: int) -> Batch:
        """Batch `number`, from 0."""
        rng = np.random.default_rng([self._config.seed, number])
        return _assemble(self._rows(number, rng), self._config)

    def _rows(self, number: int, rng: np.random.Generator) -> list[_Row]:
        batch, patch, augment = self._config.batch, self._config.input, self._config.augment
        rows = [
            _Row(random_nodule(self._nodules[i], patch, augment, rng), True, "lidc", self._nodules[i])
            for i in self._shuffled(number, batch.lidc_nodules)
        ]
        for i in rng.integers(len(self._nodules), size=batch.lidc_negatives):
            view = random_negative(self._nodules[i], patch, augment, rng)
            rows.append(_Row(view, False, "lidc") if view else self._easy(rng))
        rows += self._of_scans(batch.scan_negatives, rng)
        rows += self._candidates(self._positives, batch.luna_nodules, rng)
        rows += self._candidates(self._negatives, batch.luna_negatives, rng)
        return rows + [self._easy(rng) for _ in range(batch.synthetic)]

    def _of_scans(self, count: int, rng: np.random.Generator) -> list[_Row]:
        """False findings count as negatives of LIDC: they look like its slices, and there is no nodule among them."""
        if not self._false_findings:
            return [self._easy(rng) for _ in range(count)]
        chosen = (self._false_findings[i] for i in rng.integers(len(self._false_findings), size=count))
        patch, augment = self._config.input, self._config.augment
        return [_Row(random_false_finding(f, patch, augment, rng), False, "lidc") for f in chosen]

    def _candidates(self, pool: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[_Row]:
        if not pool:
            return [self._easy(rng) for _ in range(count)]
        chosen = (pool[i] for i in rng.integers(len(pool), size=count))
        patch, augment = self._config.input, self._config.augment
        return [_Row(random_candidate(c, patch, augment, rng), c.is_nodule, "luna") for c in chosen]

    def _easy(self, rng: np.random.Generator) -> _Row:
        return _Row(random_easy_negative(self._config.input, self._config.augment, rng), False, "generated")

    def _shuffled(self, number: int, count: int) -> list[int]:
        """Indices number*count … of endless passes through all nodules, each pass in its own order."""
        total = len(self._nodules)
        places = range(number * count, (number + 1) * count)
        orders = {p: np.random.default_rng([self._config.seed, 1, p]).permutation(total)
                  for p in {k // total for k in places}}  # fmt: skip
        return [int(orders[k // total][k % total]) for k in places]


def unit_ratings(nodule: Nodule) -> tuple[float, list[float]]:
    """Mean malignancy and mean traits, each mapped from its rating scale to 0-1; an unrated trait stays nan."""
    low, high = MALIGNANCY_SCALE
    traits = [(v - a) / (b - a) for v, (a, b) in zip(nodule.traits, TRAIT_SCALES.values(), strict=True)]
    return (float(np.mean(nodule.malignancy)) - low) / (high - low), traits


def _assemble(rows: list[_Row], config: Config) -> Batch:
    size, count = config.input.size_px, len(rows)
    malignancy, traits = np.zeros((count, 1), np.float32), np.zeros((count, len(TRAIT_SCALES)), np.float32)
    mask = np.zeros((count, size, size, 1), np.float32)
    rated, described = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for k, row in enumerate(rows):
        if row.nodule is not None:
            malignancy[k, 0], unit_traits = unit_ratings(row.nodule)
            rated[k] = row.nodule.readers**config.optimiser.reader_exponent
            if row.nodule.has_traits:
                traits[k], described[k] = unit_traits, rated[k]
        elif not row.is_nodule:
            rated[k] = config.optimiser.negatives_malignant
        if row.view.outline is not None:
            mask[k, ..., 0] = np.clip(row.view.outline, 0, 1)
    outlined = np.array([row.view.outline is not None for row in rows], np.float32)
    targets = {
        "malignancy": malignancy,
        "nodule": np.array([[row.is_nodule] for row in rows], np.float32),
        "traits": traits,
        "mask": mask,
    }
    weights = {"malignancy": rated, "nodule": _balanced(rows), "traits": described, "mask": outlined}
    hu = np.stack([row.view.hu for row in rows])[..., None]
    return Batch(hu, targets, {name: _mean_one(w) for name, w in weights.items()})


def _balanced(rows: list[_Row]) -> NDArray[np.float32]:
    """Each class of each source weighs the same, so that the source says nothing about the class."""
    keys = [(row.source, row.is_nodule) for row in rows]
    share = {key: EASY_WEIGHT if key[0] == "generated" else 0.25 for key in keys}
    return np.array([share[key] / keys.count(key) for key in keys], np.float32)


def _mean_one(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled to a mean of 1; all zero where nothing in the batch teaches this output."""
    total = weights.sum()
    return np.asarray(weights * (len(weights) / total), np.float32) if total > 0 else weights
