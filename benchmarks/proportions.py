"""Shares with their 95 % intervals."""

from __future__ import annotations

from scipy.stats import beta

from app.inference.bundle import Interval


def exact_share(hits: int, of: int) -> Interval:
    """A proportion of one or more, with its interval (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return Interval(value=hits / of, low=low, high=high)


def in_words(hits: int, of: int) -> str:
    """`3 of 14 (0.21, 0.05 to 0.51)`."""
    if not of:
        return "none"
    figure = exact_share(hits, of)
    return f"{hits} of {of} ({figure.value:.2f}, {figure.low:.2f} to {figure.high:.2f})"
