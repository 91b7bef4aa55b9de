"""How much of a rating readers share: the intraclass correlation of one rating, in all or beyond what size predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from training.evaluation.metrics import Floats, Indices
from training.evaluation.readers import ReaderPairs

SIZE_DEGREE: Final = 2  # of the polynomial in ln(mm) by which size predicts a rating


@dataclass(frozen=True, slots=True, eq=False)
class SharedRatings:
    """Malignancy of M nodules: how many readers rated each, their mean and their sum of squares around it.

    `nodule` (M,) points into the nodules that the pairs were made of.
    """

    nodule: Indices
    count: Floats
    mean: Floats
    within: Floats

    @classmethod
    def of(cls, pairs: ReaderPairs) -> Self:
        """From every reader's own rating."""
        nodule, owner = np.unique(pairs.nodule, return_inverse=True)
        rating = pairs.one[:, 0]
        count = np.bincount(owner, minlength=len(nodule)).astype(np.float64)
        mean = np.bincount(owner, rating, len(nodule)) / np.maximum(count, 1)
        within = np.bincount(owner, (rating - mean[owner]) ** 2, len(nodule))
        return cls(nodule, count, mean, np.asarray(within, np.float64))

    def icc(self, i: Indices, log_mm: Floats | None = None) -> float:
        """ICC(1) of the nodules `i`: one-way analysis of variance with unequal numbers of readers (Shrout and Fleiss
        1979; Searle 1971 for the numbers), of what `log_mm` (M,), their size, leaves over where it is given.

        1 where readers agree, 0 where nodules differ by no more than readers do; nan where they are too few.
        """
        count, mean, total = self.count[i], self.mean[i], float(self.count[i].sum())
        if len(i) <= SIZE_DEGREE + 1 or total <= len(i):
            return float("nan")
        predicted = 0.0 if log_mm is None else _predicted(log_mm[i], mean, count)
        left = mean - predicted
        level = float(np.average(left, weights=count))
        freedom = len(i) - 1 - (0 if log_mm is None else SIZE_DEGREE)
        between = float(np.sum(count * (left - level) ** 2)) / freedom
        within = float(self.within[i].sum()) / (total - len(i))
        readers = (total - float((count**2).sum()) / total) / (len(i) - 1)
        spread = between + (readers - 1) * within
        return (between - within) / spread if spread > 0 else float("nan")


def _predicted(log_mm: Floats, mean: Floats, count: Floats) -> Floats:
    """Ratings that size alone predicts, by least squares over all ratings."""
    columns = np.vander(log_mm - log_mm.mean(), SIZE_DEGREE + 1)
    weight = np.sqrt(count)[:, None]
    solution, *_ = np.linalg.lstsq(columns * weight, mean * weight[:, 0], rcond=None)
    return np.asarray(columns @ solution, np.float64)
