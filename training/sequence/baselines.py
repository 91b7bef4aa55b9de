"""What needs no network: the diameter of the largest slice, and how the area runs through the slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.evaluation.metrics import Floats
from training.sequence.stacks import Stack

PLACES: Final = np.linspace(0, 1, 5)  # along the nodule, at which its profile is taken
MAX_ITERATIONS: Final = 2000


def area_profile(stack: Stack) -> Floats:
    """Largest and mean area, volume, extent through the slices (logarithms), how many there are, and the area at five
    places from end to end as a share of the largest; the same from either end."""
    areas, heights = stack.areas_mm2, stack.heights_mm
    extent = float(np.ptp(heights))
    step = extent / max(len(heights) - 1, 1)
    along = (heights - heights[0]) / extent if extent else np.zeros(len(heights))
    profile = np.interp(PLACES, along, areas / areas.max())
    sizes = np.log1p([areas.max(), areas.mean(), areas.sum() * max(step, 1.0), extent])
    return np.concatenate([sizes, [len(areas)], (profile + profile[::-1])[: len(PLACES) // 2 + 1] / 2])


def profile_logits(taught: Sequence[Stack], asked: Sequence[Stack], inverse_strength: float) -> Floats:
    """Logits (N,) of `asked` by a regression that learned from those of `taught` whose median is not 3."""
    known = [stack for stack in taught if stack.is_decided]
    regression = LogisticRegression(C=inverse_strength, max_iter=MAX_ITERATIONS)
    model = make_pipeline(StandardScaler(), regression)
    model.fit([area_profile(stack) for stack in known], [stack.suspicious for stack in known])
    return np.asarray(model.decision_function([area_profile(stack) for stack in asked]), np.float64)
