"""How much a nodule has changed between two measurements of its volume, and how fast.

Growth is 25 % of the volume or more (British Thoracic Society 2015, doi 10.1136/thoraxjnl-2015-207168): two scans of
one day differ by as much. A doubling time supposes exponential growth (Schwartz 1961, Cancer 14:1272-1294).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from app.inference.prediction import Measured

Verdict = Literal["grew", "shrank", "stable", "within_measurement_error", "new", "gone", "not_compared"]
Pace = Literal["at_most_400_days", "400_to_600_days", "over_600_days"]

GROWTH: Final = 1.25  # of the volume before
SHRINKAGE: Final = 1 / GROWTH  # as far the other way: what grew by it again would be where it was
PACES_DAYS: Final = (400.0, 600.0)  # between which the same guideline tells doubling times apart


@dataclass(frozen=True, slots=True)
class OpenInterval:
    """A number and its interval with the digits that every format writes; an end that is open is None."""

    value: float
    low: float | None
    high: float | None

    def times(self, factor: float) -> OpenInterval:
        """The same in another unit."""
        low, high = (None if end is None else factor * end for end in (self.low, self.high))
        return OpenInterval(factor * self.value, low, high)


@dataclass(frozen=True, slots=True)
class Change:
    """The volume by the one before with its interval, the verdict on it, and all that the interval allows, the
    measured one first."""

    ratio: Measured
    verdict: Verdict
    possible: tuple[Verdict, ...]

    @property
    def share(self) -> OpenInterval:
        """What was gained, as a share of the volume before: 0.25 is a quarter more."""
        return _rounded(self.ratio, 3, less=1.0)


@dataclass(frozen=True, slots=True)
class Doubling:
    """Days in which a volume doubles; without end where the interval allows that it does not grow. `paces` are all that
    the interval touches, the measured one first."""

    days: Measured
    paces: tuple[Pace, ...]

    @property
    def rounded(self) -> OpenInterval:
        """The days, to a tenth."""
        return _rounded(self.days, 1)


def change_of(prior: Measured, current: Measured) -> Change | None:
    """The change between two volumes; None where one was not measured to be anything.

    Both outlines are as uncertain as if each were alone: the logarithms' errors add up as squares do.
    """
    if prior.value == 0 or current.value == 0:
        return None
    ratio = current.value / prior.value
    less = math.hypot(_log(current.value, current.low), _log(prior.high, prior.value))
    more = math.hypot(_log(current.high, current.value), _log(prior.value, prior.low))
    measured = Measured(ratio, ratio * math.exp(-less), ratio * math.exp(more))
    verdict = _by_limits(ratio)
    possible = tuple(dict.fromkeys((verdict, *map(_by_limits, _ends(measured)))))
    if verdict != "stable" and measured.low <= 1 <= measured.high:
        return Change(measured, "within_measurement_error", possible)
    return Change(measured, verdict, possible)


def doubling_of(ratio: Measured, days: int) -> Doubling | None:
    """The doubling time of a volume that is `ratio` times as large after `days` (one and more); None where it is no
    larger."""
    if days < 1:
        raise ValueError("a doubling time needs an interval of a day at least")
    if ratio.value <= 1:
        return None
    value, fastest, slowest = (_doubling_days(each, days) for each in (ratio.value, ratio.high, ratio.low))
    return Doubling(Measured(value, fastest, slowest), _paces(value, fastest, slowest))


def _rounded(measured: Measured, digits: int, *, less: float = 0.0) -> OpenInterval:
    value, low, high = (
        round(end - less, digits) if math.isfinite(end) else None
        for end in (measured.value, measured.low, measured.high)
    )
    return OpenInterval(value or 0.0, low, high)  # 0.0 as well of what rounds to -0.0


def _log(over: float, under: float) -> float:
    return math.log(over / under) if under > 0 else math.inf


def _by_limits(ratio: float) -> Verdict:
    return "grew" if ratio >= GROWTH else "shrank" if ratio <= SHRINKAGE else "stable"


def _ends(ratio: Measured) -> tuple[float, ...]:
    """The ends of an interval, and 1 where it runs from shrinkage to growth."""
    return (ratio.low, *((1.0,) if ratio.low <= 1 <= ratio.high else ()), ratio.high)


def _doubling_days(ratio: float, days: int) -> float:
    if math.isinf(ratio):
        return 0.0
    return days * math.log(2) / math.log(ratio) if ratio > 1 else math.inf


def _paces(*days: float) -> tuple[Pace, ...]:
    """Those of the measured value and of both ends, and the one between."""
    _, last = PACES_DAYS
    value, fastest, slowest = days
    between = (last,) if fastest <= last <= slowest else ()
    return tuple(dict.fromkeys(_pace(each) for each in (value, fastest, *between, slowest)))


def _pace(days: float) -> Pace:
    first, last = PACES_DAYS
    return "at_most_400_days" if days <= first else "400_to_600_days" if days <= last else "over_600_days"
