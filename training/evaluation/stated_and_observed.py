"""Stated probabilities beside what was observed: the line between their logits, and what chance alone would show."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import minimize

from app.inference.bundle import Interval
from training.evaluation import metrics
from training.evaluation.metrics import Flags, Floats

SMALLEST: Final = 1e-7  # float32 probabilities of 0 and 1 have no logit
MIN_SPREAD: Final = 1e-4  # of logits: what differs by less says the same about all
SLOPES: Final = (-10.0, 20.0)  # separable cases have no finite slope
NULL_DRAWS: Final = 2000  # third digit of a 95 % limit
NULL_LIMIT: Final = 0.95


def logit(probability: Floats) -> Floats:
    """Logits of probabilities, those of 0 and 1 taken as SMALLEST away."""
    inside = np.clip(probability, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def calibration_line(positive: Flags, probability: Floats, slopes: tuple[float, float] = SLOPES) -> tuple[float, float]:
    """(slope, intercept) of the outcome's logit on the stated one, by maximum likelihood: (1, 0) where calibrated.

    (nan, nan) where a class is missing, or where the same is said about all.
    """
    scores = logit(probability)
    if positive.all() or not positive.any() or np.ptp(scores) < MIN_SPREAD:
        return float("nan"), float("nan")
    sign, middle, spread = np.where(positive, 1.0, -1.0), float(scores.mean()), float(scores.std())

    # Standardised: else the slope of scores that lie close together hardly moves the loss, and stays where it starts.
    def loss(weights: Floats) -> float:
        return float(np.mean(np.logaddexp(0, -sign * (weights[0] * (scores - middle) / spread + weights[1]))))

    bounds = [(slopes[0] * spread, slopes[1] * spread), (-30.0, 30.0)]
    slope, level = minimize(loss, np.array([min(spread, bounds[0][1]), 0.0]), method="L-BFGS-B", bounds=bounds).x
    return float(slope / spread), float(level - slope * middle / spread)


def null_ece(probability: Floats, bins: int, seed: int) -> Interval:
    """ECE of a model whose probabilities were exactly right: mean, and 0 to the 95 % limit, at these probabilities."""
    draws = np.random.default_rng(seed).random((NULL_DRAWS, len(probability))) < probability
    found = [metrics.expected_calibration_error(outcome, probability, bins) for outcome in draws]
    return Interval(value=float(np.mean(found)), low=0.0, high=float(np.quantile(found, NULL_LIMIT)))
