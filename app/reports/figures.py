"""Numbers as every result writes them: with no more digits than a measurement deserves."""

from __future__ import annotations

from typing import Final

from app.inference.prediction import Measured

DIGITS: Final = 3  # significant: an outline's own uncertainty is in the second


def significant(value: float) -> float:
    """The value rounded to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def percent(probability: float) -> float:
    """A probability 0-1 in percent."""
    return significant(probability * 100)


def margins(measured: Measured) -> tuple[float, float]:
    """How far the interval of a measurement reaches below and above its value."""
    return significant(measured.value - measured.low), significant(measured.high - measured.value)
