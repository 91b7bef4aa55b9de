"""The readers as a baseline: what one of them would reach, judged by the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.nodules import INDETERMINATE
from training.data.ratings import RATED, Ratings
from training.evaluation.metrics import Flags, Floats, Indices


@dataclass(frozen=True, slots=True, eq=False)
class ReaderPairs:
    """One entry per nodule and reader: that reader's ratings (P, 8) beside the mean (P, 8) of the others'.

    `nodule` (P,) points into the nodules the pairs were made of; `others_median` (P,) is of the others' malignancy.
    """

    nodule: Indices
    one: Floats
    others_mean: Floats
    others_median: Floats

    @property
    def decided(self) -> Flags:
        """The others' median is not 3."""
        return np.asarray(self.others_median != INDETERMINATE)

    def where(self, chosen: Flags) -> ReaderPairs:
        """The same, for some of the pairs."""
        return ReaderPairs(self.nodule[chosen], self.one[chosen], self.others_mean[chosen], self.others_median[chosen])


def pair_readers(ids: Sequence[int], ratings: Ratings, min_readers: int) -> ReaderPairs:
    """Each reader of each nodule that at least `min_readers` rated, against the others."""
    index, one, mean, median = [], [], [], []
    for place, nodule_id in enumerate(ids):
        given = ratings.get(nodule_id, np.empty((0, len(RATED))))
        if len(given) < max(2, min_readers):
            continue
        for reader in range(len(given)):
            others = np.delete(given, reader, axis=0)
            index.append(place)
            one.append(given[reader])
            mean.append(others.mean(axis=0))
            median.append(float(np.median(others[:, 0])))
    shape = (len(index), len(RATED))
    return ReaderPairs(
        np.array(index, np.intp), np.array(one).reshape(shape), np.array(mean).reshape(shape), np.array(median)
    )
