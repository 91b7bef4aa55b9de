"""A generated lung nodule, so that a bundle can carry a golden case without anybody's data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec

LUNG_HU = -850.0
NODULE_HU = 30.0
NOISE_HU = 25.0
DIAMETER_MM = 14.0
EDGE_MM = 0.7  # a border as soft as a reconstruction kernel makes it
SEED = 7


def lung_phantom(spec: PatchSpec, *, diameter_mm: float = DIAMETER_MM, seed: int = SEED) -> NDArray[np.int16]:
    """A bright sphere with a soft edge in the middle of noisy lung: int16 (size, size) in HU."""
    y, x = (np.mgrid[: spec.size_px, : spec.size_px] - spec.middle_px) * spec.spacing_mm
    inside = 1 / (1 + np.exp((np.hypot(x, y) - diameter_mm / 2) / (EDGE_MM / 2)))
    noise = np.random.default_rng(seed).normal(0, NOISE_HU, inside.shape)
    hu = LUNG_HU + (NODULE_HU - LUNG_HU) * inside + noise
    return np.asarray(np.round(hu), np.int16)
