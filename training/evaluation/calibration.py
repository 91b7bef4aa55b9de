"""What held-out folds decide: Platt scaling with size, operating point, conformal quantiles and kept shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from app.inference.conformal import Finding, SizeQuantiles
from training.evaluation.metrics import Flags, Floats

MAX_LOGIT = 30.0  # exp() stays finite; the probability is 0 or 1 in float32 long before
MIN_DRAWN_MM = 2.0  # an outline that is hardly there says nothing of size; ln() stays finite
# 6 mm is where follow-up begins (Fleischner Society 2017); few suspicious nodules are below, few benign ones from 20.
SIZE_EDGES_MM: Final = (6.0, 10.0, 20.0)
MIN_OF_BIN: Final = 20  # coverage of 0.90 then leaves out one or two, and is known within 0.13
MIN_SLOPE = 1e-3  # a network that ranks backwards must not be flipped in silence


@dataclass(frozen=True, slots=True)
class Platt:
    """Calibrated logit = slope * logit + per_log_mm * ln(diameter in mm) + intercept (Platt 1999, with the size of the
    network's own outline beside its score: pooled features carry size poorly, and readers weigh it heavily)."""

    slope: float
    per_log_mm: float
    intercept: float

    def probability(self, logits: NDArray[np.floating], soft_diameter_mm: Floats) -> Floats:
        """Calibrated probabilities (N,) of raw logits (N,) and `conformal.soft_diameter_mm` (N,)."""
        scores = np.asarray(logits, np.float64)
        return sigmoid(self.slope * scores + self.per_log_mm * log_mm(soft_diameter_mm) + self.intercept)


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Logistic function in float64, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64), -MAX_LOGIT, MAX_LOGIT))), np.float64)


def log_mm(diameter_mm: Floats) -> Floats:
    """Natural logarithm of diameters in mm, those below MIN_DRAWN_MM taken as that."""
    return np.asarray(np.log(np.maximum(diameter_mm, MIN_DRAWN_MM)), np.float64)


def fit_platt(logits: NDArray[np.floating], soft_diameter_mm: Floats, positive: Flags) -> Platt:
    """Maximum-likelihood weights, none of them negative; raises ValueError when only one class is given."""
    if positive.all() or not positive.any():
        raise ValueError("calibration needs both suspicious and benign nodules among the held-out ones")
    sign = np.where(positive, 1.0, -1.0)
    scores = np.stack([np.asarray(logits, np.float64), log_mm(soft_diameter_mm), np.ones(len(sign))], axis=1)

    def loss(weights: Floats) -> float:
        return float(np.mean(np.logaddexp(0, -sign * (scores @ weights))))

    bounds = [(MIN_SLOPE, 100.0), (0.0, 100.0), (-1000.0, 1000.0)]
    slope, per_log_mm, intercept = minimize(loss, np.array([1.0, 0.0, 0.0]), method="L-BFGS-B", bounds=bounds).x
    return Platt(float(slope), float(per_log_mm), float(intercept))


def operating_point(probability: Floats, positive: Flags, wanted_sensitivity: float) -> float:
    """The highest threshold at and above which at least `wanted_sensitivity` of the positives lie."""
    return keep_above(probability[positive], wanted_sensitivity)


def keep_above(scores: Floats, wanted: float) -> float:
    """The highest threshold that keeps at least the fraction `wanted` of `scores` at or above it."""
    ordered = np.sort(scores)[::-1]
    return float(ordered[int(np.ceil(wanted * len(ordered))) - 1])


def conformal_quantiles(
    probability: Floats, positive: Flags, soft_diameter_mm: Floats, coverage: float
) -> dict[Finding, SizeQuantiles]:
    """Per class and size, the quantile of 1 - p(class) that its own held-out nodules stay below (Vovk 2012)."""
    return {
        "cancer_suspected": size_quantiles(1 - probability[positive], soft_diameter_mm[positive], coverage),
        "normal": size_quantiles(probability[~positive], soft_diameter_mm[~positive], coverage),
    }


def size_quantiles(scores: Floats, soft_diameter_mm: Floats, coverage: float) -> SizeQuantiles:
    """Quantiles of one class's scores, each of the nodules in its bin."""
    edges = pooled_edges(soft_diameter_mm)
    place = np.searchsorted(edges, soft_diameter_mm, side="right")
    parts = [scores[place == k] for k in range(len(edges) + 1)]
    return SizeQuantiles(
        quantiles=tuple(_finite_quantile(part, coverage) for part in parts),
        edges_mm=edges,
        nodules=tuple(len(part) for part in parts),
        pooled_mm=tuple(edge for edge in SIZE_EDGES_MM if edge not in edges),
    )


def pooled_edges(soft_diameter_mm: Floats) -> tuple[float, ...]:
    """Those of SIZE_EDGES_MM that part bins of MIN_OF_BIN nodules and more.

    The emptiest bin joins the emptier of its neighbours until none holds fewer.
    """
    edges = list(SIZE_EDGES_MM)
    while edges:
        counts = np.bincount(np.searchsorted(edges, soft_diameter_mm, side="right"), minlength=len(edges) + 1)
        least = int(counts.argmin())
        if counts[least] >= MIN_OF_BIN:
            break
        downwards = least > 0 and (least == len(edges) or counts[least - 1] <= counts[least + 1])
        edges.pop(least - 1 if downwards else least)
    return tuple(edges)


def _finite_quantile(scores: Floats, coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest score; 1 (everything conforms) when there are too few."""
    rank = int(np.ceil((len(scores) + 1) * coverage))
    return 1.0 if rank > len(scores) else float(np.sort(scores)[rank - 1])
