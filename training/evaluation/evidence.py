"""Whether the evidence map points at what decides: where its peak lies, and what taking its brightest places away does.

The second is deletion beside chance (Samek et al. 2017, doi 10.1109/TNNLS.2016.2599820): a map that is no better than
a random one of the same shape wins half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from training.evaluation.metrics import Flags, Floats
from training.fitting.samples import LUNG, OUTLINE_LEVEL

REMOVED_SHARE: Final = 0.2  # of the map's places
Scores = Callable[[NDArray[np.float32]], Floats]  # of (N, size, size) patches in HU to (N,) logits


def peak_inside(local: Floats, outlines: Sequence[FloatImage | None]) -> Floats:
    """1 where the middle of the highest place of a map (N, h, w) lies in the outline, 0 where not, (N,); nan where
    there is no outline. Outlines are fractions 0-1 of (size, size) pixels, size a multiple of h and w."""
    found = np.full(len(local), np.nan)
    for k, outline in enumerate(outlines):
        if outline is not None:
            row, column = np.unravel_index(int(local[k].argmax()), local[k].shape)
            found[k] = float(_middle_of(outline, local[k].shape, int(row), int(column)) > OUTLINE_LEVEL)
    return found


def falls(scores: Scores, hu: NDArray[np.float32], local: Floats, seeds: Sequence[int]) -> tuple[Floats, Floats]:
    """How much the logits (N,) of patches fall when aerated lung takes the place of the highest REMOVED_SHARE of each
    map (N, h, w), and when it takes as many places of the same shape elsewhere. `seeds`, one for each patch, say
    where."""
    chosen = np.stack([_highest(one) for one in local])
    elsewhere = np.stack([_moved(one, np.random.default_rng(seed)) for one, seed in zip(chosen, seeds, strict=True)])
    before = scores(hu)
    by_map, by_chance = (before - scores(_without(hu, places)) for places in (chosen, elsewhere))
    return by_map, by_chance


def _middle_of(outline: FloatImage, shape: tuple[int, ...], row: int, column: int) -> float:
    """The outline's mean over the four pixels around a place's middle, or the one there."""
    high, wide = (side // places for side, places in zip(outline.shape, shape, strict=True))
    rows, columns = (slice(k * n + (n - 1) // 2, k * n + n // 2 + 1) for k, n in ((row, high), (column, wide)))
    return float(outline[rows, columns].mean())


def _highest(local: Floats) -> Flags:
    count = max(1, round(REMOVED_SHARE * local.size))
    chosen = np.zeros(local.size, np.bool_)
    chosen[np.argsort(-local, axis=None, kind="stable")[:count]] = True
    return chosen.reshape(local.shape)


def _moved(places: Flags, rng: np.random.Generator) -> Flags:
    """The same places somewhere else, around the patch's edges."""
    return np.roll(places, rng.integers(places.shape), axis=(0, 1))


def _without(hu: NDArray[np.float32], places: Flags) -> NDArray[np.float32]:
    high, wide = (side // count for side, count in zip(hu.shape[1:], places.shape[1:], strict=True))
    return np.where(places.repeat(high, axis=1).repeat(wide, axis=2), np.float32(LUNG), hu)
