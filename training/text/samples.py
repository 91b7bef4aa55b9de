"""Windows of labelled reports as arrays, and the batches that training takes from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.text.tokens import PADDING, UNKNOWN, encode, numbers_of, tokens_of
from training.text.config import TaggerConfig, TextInputConfig
from training.text.reports import LABELS, Report

Floats = NDArray[np.float32]
_OTHERS = ((0, 2, 3), (0, 1, 3))  # axes of a batch beside that of sentences, and that of tokens


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Reports in windows: `ids` (N, sentences, tokens, 1), `targets` (N, sentences, labels) of 0 and 1, and `weights`
    (N, sentences), 1 where there is a sentence."""

    ids: Floats
    targets: Floats
    weights: Floats


def vocabulary_of(reports: Sequence[Report], min_count: int) -> tuple[str, ...]:
    """The tokens of reports that come `min_count` times or more, sorted."""
    counts = Counter(token for report in reports for sentence in report.sentences for token in tokens_of(sentence))
    return tuple(sorted(token for token, count in counts.items() if count >= min_count))


def windows_of(reports: Sequence[Report], vocabulary: Sequence[str], spec: TextInputConfig) -> Windows:
    """All windows of some reports, in their order: each as many sentences as fit, the rest in the next."""
    numbers = numbers_of(vocabulary)
    parts = [
        (report.sentences[first : first + spec.sentences], report.labels[first : first + spec.sentences])
        for report in reports
        for first in range(0, len(report.sentences), spec.sentences)
    ]
    targets = np.zeros((len(parts), spec.sentences, len(LABELS)), np.float32)
    weights = np.zeros((len(parts), spec.sentences), np.float32)
    for window, (sentences, labels) in enumerate(parts):
        weights[window, : len(sentences)] = 1
        for row, given in enumerate(labels):
            targets[window, row, [LABELS.index(label) for label in given]] = 1
    ids = np.stack([encode(sentences, numbers, spec.shape) for sentences, _ in parts])
    return Windows(ids, targets, weights)


class TaggerBatches:
    """The n-th batch of a run, the same whenever it is asked for."""

    def __init__(self, windows: Windows, config: TaggerConfig, seed: int) -> None:
        self._windows, self._learning, self._seed = windows, config.learning, seed
        self._per_epoch = -(-len(windows.ids) // config.learning.batch)

    @property
    def total(self) -> int:
        """Batches of a whole run."""
        return self._per_epoch * self._learning.epochs

    def __call__(self, number: int) -> tuple[Floats, Floats, Floats]:
        """`ids` with some tokens hidden, `targets` and `weights` of batch `number`."""
        epoch, place = divmod(number, self._per_epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._windows.ids))
        # Every epoch is whole: its last batch is filled up from its beginning.
        chosen = np.resize(order, self._per_epoch * self._learning.batch).reshape(self._per_epoch, -1)[place]
        ids = self._windows.ids[chosen]
        hidden = np.random.default_rng([self._seed, epoch, place]).random(ids.shape) < self._learning.hide
        ids = np.where(hidden & (ids != PADDING), np.float32(UNKNOWN), ids)
        # Padding changes no result and takes most of the time: only what this batch needs is kept.
        sentences, tokens = (int(np.flatnonzero((ids != PADDING).any(axis=axes)).max()) + 1 for axes in _OTHERS)
        targets, weights = self._windows.targets[chosen], self._windows.weights[chosen]
        return ids[:, :sentences, :tokens], targets[:, :sentences], weights[:, :sentences]
