"""Masks such as a network may answer with: of no pixel, one or all, at corners, in pieces, just above the threshold."""

from __future__ import annotations

from typing import Final

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.inference.backends import Outputs
from app.inference.patch_outputs import MASK_THRESHOLD
from tests.fakes import SIZE_PX, ArithmeticBackend

Mask = NDArray[np.float32]
AT: Final = float(np.float32(MASK_THRESHOLD))
JUST_ABOVE: Final = float(np.nextafter(np.float32(MASK_THRESHOLD), np.float32(1)))
LEVELS: Final = (0.0, AT, JUST_ABOVE, 0.6, 1.0)


@st.composite
def masks(draw: st.DrawFn, size: int = SIZE_PX) -> Mask:
    """Probabilities (size, size): a few pixels anywhere or around the middle, or a share of all of them, of one level
    on a ground of another."""
    inside, ground = draw(st.sampled_from(LEVELS)), draw(st.sampled_from((0.0, 0.3, AT)))
    if draw(st.booleans()):
        pixels = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((size, size))
        return np.where(pixels < draw(st.sampled_from((0, 0.05, 0.3, 0.9, 1))), inside, ground).astype(np.float32)
    near = st.integers(max(0, size // 2 - 3), min(size - 1, size // 2 + 3))
    side = st.one_of(near, st.integers(0, size - 1), st.sampled_from((0, size - 1)))
    mask = np.full((size, size), ground, np.float32)
    for row, column in draw(st.lists(st.tuples(side, side), max_size=6)):
        mask[row, column] = inside
    return mask


def one_pixel(level: float, size: int = SIZE_PX) -> Mask:
    """A mask of the pixel in the middle."""
    mask = np.zeros((size, size), np.float32)
    mask[size // 2, size // 2] = level
    return mask


def in_turn() -> list[Mask]:
    """One mask of each kind, for what takes too long to be tried on hundreds."""
    row, corners, full = (np.zeros((SIZE_PX, SIZE_PX), np.float32) for _ in range(3))
    row[SIZE_PX // 2, SIZE_PX // 2 - 2 : SIZE_PX // 2 + 2] = JUST_ABOVE
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = 1
    full[...] = 1
    return [one_pixel(level) for level in LEVELS] + [row, corners, full]


class Masked(ArithmeticBackend):
    """Answers as ArithmeticBackend, but with one `mask` for all patches."""

    mask: Mask = one_pixel(0.0)

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        return {**super().answer(hu), "mask": np.repeat(self.mask[None], len(hu), axis=0)}
