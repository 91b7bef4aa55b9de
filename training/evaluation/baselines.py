"""Logistic regression on the patch: what pixels give without a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.data.nodules import Nodule
from training.evaluation.metrics import Floats
from training.fitting.config import InputConfig
from training.fitting.samples import nodule_view

SIDE = 12  # pixels a side after averaging: 2.8 mm each at the default input, smaller than most nodules
INVERSE_PENALTY = 0.01  # fixed beforehand; 144 correlated pixels overfit with the default of 1
MAX_ITERATIONS = 5000


def logistic_scores(nodules: Sequence[Nodule], patch: InputConfig) -> Floats:
    """Logits (N,) of suspicion, each from a regression on the other folds' nodules whose median is not 3.

    nan where the other folds hold no nodule or one class only.
    """
    pixels = coarse_pixels(nodules, patch)
    fold = np.array([n.fold for n in nodules])
    suspicious = np.array([n.suspicion == "suspicious" for n in nodules])
    taught = np.array([n.suspicion != "indeterminate" for n in nodules])
    scores = np.full(len(nodules), np.nan)
    for number in np.unique(fold):
        inside, others = fold == number, (fold != number) & taught
        if len(set(suspicious[others].tolist())) == 2:
            regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
            model = make_pipeline(StandardScaler(), regression).fit(pixels[others], suspicious[others])
            scores[inside] = model.decision_function(pixels[inside])
    return scores


def coarse_pixels(nodules: Sequence[Nodule], patch: InputConfig) -> NDArray[np.float64]:
    """The patches (N, 144) as the network sees them, clipped and averaged to 12 x 12 pixels, in HU."""
    factor = patch.size_px // SIDE
    edge = (patch.size_px - factor * SIDE) // 2
    middle = slice(edge, edge + factor * SIDE)
    low, high = patch.clip_hu
    rows = []
    for nodule in nodules:
        hu = np.clip(nodule_view(nodule, patch.patch_spec).hu[middle, middle], low, high)
        rows.append(hu.reshape(SIDE, factor, SIDE, factor).mean(axis=(1, 3)).ravel())
    return np.array(rows, np.float64).reshape(len(rows), SIDE * SIDE)
