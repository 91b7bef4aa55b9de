"""Figures of merit of probabilities against verdicts, with 95 % intervals in closed form.

A figure that would rest on too few cases is None.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Z: Final = NormalDist().inv_cdf(0.975)
MIN_OF_A_CLASS: Final = 20  # the interval of a share of 0.9 is then 0.70 to 0.97
MIN_EXPECTED: Final = 10.0  # malignant nodules: the interval of observed to expected is then about 1 wide


class Figure(BaseModel):
    """A measured figure with the bounds of its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


def share(called: int, of: int) -> Figure | None:
    """A share with the interval of Wilson (1927); None of fewer than MIN_OF_A_CLASS."""
    return _wilson(called, of) if of >= MIN_OF_A_CLASS else None


def auc(malignant: Flags, probability: Floats) -> Figure | None:
    """Area under the ROC curve (ties count half) with the interval of DeLong (1988), on the logit's scale so that it
    stays within 0 and 1; None with fewer than MIN_OF_A_CLASS of either class.

    Where no pair is in the wrong order there is no variance to be seen: then the bounds are Wilson's, of a share of
    the smaller class.
    """
    ones, zeros = np.sort(probability[malignant]), np.sort(probability[~malignant])
    if min(len(ones), len(zeros)) < MIN_OF_A_CLASS:
        return None
    of_ones, of_zeros = _below(zeros, ones), 1 - _below(ones, zeros)
    value = float(of_ones.mean())
    error = math.sqrt(float(of_ones.var(ddof=1)) / len(ones) + float(of_zeros.var(ddof=1)) / len(zeros))
    if not 0 < value < 1 or not error:
        fewer = min(len(ones), len(zeros))
        return _wilson(round(value * fewer), fewer).model_copy(update={"value": value})
    logit, spread = math.log(value / (1 - value)), Z * error / (value * (1 - value))
    return Figure(value=value, low=_logistic(logit - spread), high=_logistic(logit + spread))


def observed_to_expected(malignant: Flags, probability: Floats) -> Figure | None:
    """How many were malignant for each that the probabilities let expect, with Wilson's interval of their share: 1 is
    calibrated, less is too suspicious. None where fewer than MIN_EXPECTED are expected, or not malignant."""
    expected, number = float(probability.sum()), len(probability)
    if min(expected, number - expected) < MIN_EXPECTED:
        return None
    found = _wilson(int(malignant.sum()), number)
    scale = number / expected
    return Figure(value=found.value * scale, low=found.low * scale, high=found.high * scale)


def _below(sorted_values: Floats, of: Floats) -> Floats:
    """For each of `of` the share of the values that are less; equal ones count half."""
    less, not_more = (np.searchsorted(sorted_values, of, side) for side in ("left", "right"))
    return np.asarray((less + not_more) / 2 / len(sorted_values), np.float64)


def _wilson(called: int, of: int) -> Figure:
    value, z2 = called / of, Z * Z
    middle = (value + z2 / (2 * of)) / (1 + z2 / of)
    half = Z / (1 + z2 / of) * math.sqrt(value * (1 - value) / of + z2 / (4 * of * of))
    # Rounding may leave a bound beside a value of 0 or 1.
    return Figure(value=value, low=max(0.0, min(value, middle - half)), high=min(1.0, max(value, middle + half)))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
