"""Risk models that are a sum of terms: their range where some of the terms are not known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from app.guidelines.assessment import Probability
from app.guidelines.case import Case, Nodule

Options = tuple[float, ...]  # what a term may be, the likeliest first
SIZE: Final = "size"


def either(coefficient: float, known: bool | None) -> Options:
    """A term that is there or not."""
    return (0.0, coefficient) if known is None else (coefficient if known else 0.0,)


def lobe(case: Case, nodule: Nodule) -> tuple[bool | None, tuple[str, ...]]:
    """Whether the nodule lies in an upper lobe, and what this rests on not knowing."""
    if case.context.upper_lobe is not None:
        return case.context.upper_lobe, ()
    return nodule.upper_lobe, ("lobe",) if nodule.upper_lobe is None else ("lobe_estimated",)


def probability(nodule: Nodule, intercept: float, terms: dict[str, Options], missing: Iterable[str]) -> Probability:
    """The probability with `terms` by name; its range is over all that they may be.

    The value is that of the size as measured, where every other term is known.
    """
    low, high, first = (
        _logistic(intercept + sum(pick(term) for term in terms.values())) for pick in (min, max, lambda term: term[0])
    )
    certain = all(len(term) == 1 for name, term in terms.items() if name != SIZE)
    return Probability(nodule.id, nodule.counts, low, high, first if certain else None, tuple(dict.fromkeys(missing)))


def none(nodule: Nodule, *missing: str) -> Probability:
    """No probability, for want of these."""
    return Probability(nodule.id, nodule.counts, None, None, None, missing)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))
