"""The readers as a baseline: what one of them would reach, judged by the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.nodules import INDETERMINATE
from training.data.ratings import RATED, Ratings
from training.evaluation import metrics
from training.evaluation.metrics import Flags, Floats, Indices

CONSENSUS_OUTLINES: Final = 3  # readers who outlined a nodule from whom half of them is a majority of others


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


@dataclass(frozen=True, slots=True, eq=False)
class OutlineAgreement:
    """Dice overlap of readers' outlines on the same slice: `pairs` (P,) of two readers, `ones` (R,) of one reader with
    what at least half of the others hold for nodule. `pair_nodule` and `one_nodule` point into the nodules."""

    pair_nodule: Indices
    pairs: Floats
    one_nodule: Indices
    ones: Floats


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


def compare_outlines(ids: Sequence[int], outlines: Mapping[int, NDArray[np.bool_]]) -> OutlineAgreement:
    """Outlines (readers, rows, columns) of each nodule with each other, from three with the others' majority."""
    pair_nodule, pairs, one_nodule, ones = [], [], [], []
    for place, nodule_id in enumerate(ids):
        drawn = outlines.get(nodule_id)
        if drawn is None:
            continue
        first, second = np.array(list(combinations(range(len(drawn)), 2)), np.intp).reshape(-1, 2).T
        pairs.append(metrics.dice(drawn[first], drawn[second]))
        pair_nodule += [place] * len(first)
        if len(drawn) >= CONSENSUS_OUTLINES:
            others = drawn.sum(axis=0) - drawn.astype(np.int64)
            ones.append(metrics.dice(drawn, 2 * others >= len(drawn) - 1))
            one_nodule += [place] * len(drawn)
    empty = np.zeros(0)
    return OutlineAgreement(
        np.array(pair_nodule, np.intp),
        np.concatenate([empty, *pairs]),
        np.array(one_nodule, np.intp),
        np.concatenate([empty, *ones]),
    )
