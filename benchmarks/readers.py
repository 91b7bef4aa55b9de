"""Who is asked about the candidates of a slice, and which of them are shown with which score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.inference.detector import SecondReader, best_apart
from benchmarks.froc import Arm, Background
from benchmarks.planted_scans import Found, PlantedScan

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A network and its patch: `ask` takes float32 (N, size, size) in HU to (N,) logits."""

    spec: PatchSpec
    ask: Callable[[NDArray[np.float32]], Scores]

    def about(self, found: Found, numbers: Numbers) -> Scores:
        """Logits of some of the candidates."""
        return self.ask(found.patches[self.spec][numbers]) if len(numbers) else np.zeros(0, np.float32)


class Reader(Protocol):
    """Says of the candidates of a slice which are shown, and with which score."""

    def __call__(self, found: Found) -> tuple[Numbers, Scores]:
        """Numbers of the candidates shown, and their scores."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Every:
    """One judge; every candidate is a finding of its own."""

    judge: Judge

    def __call__(self, found: Found) -> tuple[Numbers, Scores]:
        """All candidates."""
        numbers = np.arange(len(found.points_mm))
        return numbers, self.judge.about(found, numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """One judge; of candidates on one place the best is shown."""

    judge: Judge

    def __call__(self, found: Found) -> tuple[Numbers, Scores]:
        """The best apart."""
        scores = self.judge.about(found, np.arange(len(found.points_mm)))
        apart = np.array(best_apart(found.points_mm, found.diameters_mm, scores), np.intp)
        return apart, scores[apart]


@dataclass(frozen=True, slots=True, eq=False)
class Cascade:
    """As a slice is served: the filter, and a second reader of what it lets pass."""

    judge: Judge
    classifier: Judge
    second: SecondReader

    def __call__(self, found: Found) -> tuple[Numbers, Scores]:
        """What the filter lets pass, with the joint score."""
        numbers, scores = Alone(self.judge)(found)
        passed = scores >= self.second.from_score
        return numbers[passed], self.joint(scores[passed], self.classifier.about(found, numbers[passed]))

    def joint(self, scores: Scores, logits: Scores) -> Scores:
        """Of the filter's scores and the classifier's logits."""
        return self.second.joint(scores, (1 / (1 + np.exp(-logits))).astype(np.float32))

    def native(self, filter_patches: NDArray[np.float32], classifier_patches: NDArray[np.float32]) -> Floats:
        """Scores of nodules in patches of their own, -inf for what the filter does not let pass."""
        scores = self.judge.ask(filter_patches)
        joint = self.joint(scores, self.classifier.ask(classifier_patches))
        return np.where(scores >= self.second.from_score, joint, -np.inf).astype(np.float64)


def arm_of(planted: PlantedScan, reader: Reader) -> Arm:
    """Scores of all plantings and false findings of a scan."""
    best = []
    for planting in planted.plantings:
        numbers, scores = reader(planting.found)
        best.append(float(scores[planting.on[numbers]].max(initial=-np.inf)))
    owners = np.array([p.nodule.patient for p in planted.plantings])
    false = tuple(reader(found)[1].astype(np.float64) for found in planted.false)
    return Arm(np.array(best), owners, Background(false))
