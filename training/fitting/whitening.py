"""Statistics of a network's training nodules: how far an embedding lies from theirs, how strong a place can speak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOCAL_REACH = 6.0  # the strongest place of the training nodules shows as sigmoid(6) = 0.998; beyond 16 nothing inverts


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """Mahalanobis distance as a plain norm: || matrix @ (embedding - mean) || (Lee et al. 2018)."""

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    def distance(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (N,) of embeddings (N, D)."""
        return np.asarray(np.linalg.norm((embedding - self.mean) @ self.matrix.T, axis=1), np.float64)


def fit_whitening(embedding: NDArray[np.float32], shrinkage: float) -> Whitening:
    """Mean and inverse square root of the covariance of embeddings (N, D), shrunk towards its mean variance.

    Without shrinkage, directions the training data never used would make every new patch look foreign.
    """
    values = embedding.astype(np.float64)
    mean = values.mean(axis=0)
    covariance = np.cov(values, rowvar=False)
    size = len(covariance)
    target = np.trace(covariance) / size + np.finfo(np.float64).tiny
    variances, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * target * np.eye(size))
    matrix = (axes / np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny))) @ axes.T
    return Whitening(mean.astype(np.float32), matrix.astype(np.float32))


def local_scale(local_logits: NDArray[np.floating]) -> float:
    """The divisor that keeps class-activation maps within the range where a float32 sigmoid can be inverted."""
    return max(1.0, float(np.abs(local_logits).max()) / LOCAL_REACH)
