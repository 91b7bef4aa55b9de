"""The rows of BTS 2015 (British Thoracic Society; Callister et al., doi 10.1136/thoraxjnl-2015-207168): of a first CT
(figures 1 and 3), and of a later one (figures 2 and 3).

A solid nodule has grown from 25 % of its volume on. Then its doubling time decides: at most 400 days lead to further
investigation; at the scan at 3 months all others wait for that at a year, at which 400 to 600 days and more than that
part. What is stable after a year by volume needs no more scans. A sub-solid nodule has grown from 2 mm of its longest
diameter on, or with a solid part that is new or larger.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

from app.guidelines.assessment import Row
from app.guidelines.case import Earlier, Nodule, has_grown, sizes
from app.inference.prediction import AttenuationClass, Measured

BORDERS_MM: Final = (5.0, 6.0, 8.0)
BORDERS_MM3: Final = (80.0, 300.0)
CALCIFIED: Final = Row("calcified", 0, "nodule of calcium: no follow-up")
SMALL: Final = Row("solid-small", 1, "solid, < 5 mm or < 80 mm³: no follow-up")
STABLE: Final = Row("solid-stable-1-year", 2, "solid, grown by < 25 % of its volume after a year or more: no follow-up")
SMALL_SUBSOLID: Final = Row("subsolid-small", 3, "sub-solid, < 5 mm: no follow-up")
YEAR: Final = Row("solid-5-6", 4, "solid, 5 to < 6 mm: CT at 1 year")
WAITING: Final = Row(
    "solid-before-1-year", 5, "solid, not doubling within 400 days, less than a year apart: CT at 1 year"
)
BY_DIAMETER: Final = Row(
    "solid-by-diameter", 6, "solid, followed on slices too thick for volumes: change is left to a reader; CT to 2 years"
)
MONTHS: Final = Row("solid-6-8", 7, "solid, 6 to < 8 mm or 80 to < 300 mm³: CT at 3 months")
# By the Brock model: below its border, open, from it on.
LARGE: Final = (
    Row("solid-large-brock-<10", 8, "solid, >= 8 mm or >= 300 mm³, Brock < 10 %: CT at 3 months"),
    Row("solid-large-brock-open", 15, "solid, >= 8 mm or >= 300 mm³: Brock decides at 10 %"),
    Row("solid-large-brock->=10", 16, "solid, >= 8 mm or >= 300 mm³, Brock >= 10 %: PET-CT, then the Herder model"),
)
SUBSOLID: Final = (
    Row(
        "subsolid-brock-<10", 9, "sub-solid, >= 5 mm: CT at 3 months; if it stays, Brock < 10 %: CT at 1, 2 and 4 years"
    ),
    Row("subsolid-brock-open", 13, "sub-solid, >= 5 mm: CT at 3 months; if it stays, Brock decides at 10 %"),
    Row("subsolid-brock->=10", 17, "sub-solid, >= 5 mm: CT at 3 months; if it stays, Brock >= 10 %: biopsy or removal"),
)
STAYING: Final = (
    Row("subsolid-stays-brock-<10", 10, "sub-solid, >= 5 mm, stays, Brock < 10 %: CT at 1, 2 and 4 years"),
    Row("subsolid-stays-brock-open", 14, "sub-solid, >= 5 mm, stays: Brock decides at 10 %"),
    Row("subsolid-stays-brock->=10", 18, "sub-solid, >= 5 mm, stays, Brock >= 10 %: biopsy or removal"),
)
SLOW: Final = Row("solid-grew->600", 11, "solid, grown, doubling in > 600 days: no follow-up, or CT every year")
MEDIUM: Final = Row("solid-grew-400-600", 12, "solid, grown, doubling in > 400 to 600 days: biopsy, or CT every year")
SUBSOLID_GREW: Final = Row(
    "subsolid-grew", 19, "sub-solid, longer by >= 2 mm or its solid part new or larger: removal before waiting"
)
FAST: Final = Row("solid-grew-<=400", 20, "solid, grown, doubling in <= 400 days: further investigation, removal")
BROCK_OPEN: Final = (LARGE[1], SUBSOLID[1], STAYING[1])

GROWTH: Final = 1.25  # of the volume before
PACES_DAYS: Final = (400.0, 600.0)
SUBSOLID_GROWTH_MM: Final = 2.0
YEAR_DAYS: Final = 365
MONTHS_DAYS: Final = 90  # three months, at which a sub-solid nodule is known to stay


def row_of(kind: AttenuationClass, longest_mm: float, volume_mm3: float | None, brock_side: int) -> Row:
    """The row of a nodule at a first CT, by volume where there is one. `brock_side` is 0 below 10 %, 2 from there on, 1
    if open."""
    if kind == "calcified":
        return CALCIFIED
    if kind != "solid":
        return SMALL_SUBSOLID if longest_mm < BORDERS_MM[0] else SUBSOLID[brock_side]
    if volume_mm3 is not None:
        small, large = BORDERS_MM3
        return SMALL if volume_mm3 < small else MONTHS if volume_mm3 < large else LARGE[brock_side]
    least, year, large = BORDERS_MM
    if longest_mm < year:
        return SMALL if longest_mm < least else YEAR
    return MONTHS if longest_mm < large else LARGE[brock_side]


def row_of_growth(ratio: float, days: int) -> Row:
    """The row of a solid nodule whose volume is `ratio` times as large after so many days (figure 2)."""
    doubling_days = days * math.log(2) / math.log(ratio) if ratio >= GROWTH else math.inf
    fast, medium = PACES_DAYS
    if doubling_days <= fast:
        return FAST
    if days < YEAR_DAYS:
        return WAITING
    if ratio < GROWTH:
        return STABLE
    return MEDIUM if doubling_days <= medium else SLOW


def followed_rows(nodule: Nodule, kind: AttenuationClass, first: Row, side: int, *, by_volume: bool) -> Iterator[Row]:
    """The rows of a nodule of a class that a first CT would put into `first`, the likeliest first: that one where it
    is new or was not compared."""
    earlier = nodule.earlier
    if kind == "calcified" or earlier is None or earlier.nodule is None:
        yield first
    elif kind == "solid":
        yield from _solid(earlier, first, by_volume=by_volume)
    else:
        yield from _subsolid(nodule, earlier.nodule, kind, first, side, earlier.days)


def missing_of(nodule: Nodule, rows: list[Row]) -> Iterator[str]:
    """What the comparison with an earlier CT leaves open."""
    if nodule.earlier is None:
        yield "not_compared"
    elif nodule.earlier.nodule is None:
        yield "new_nodule"
    else:
        if nodule.earlier.days is None:
            yield "interval"
        if any(row in LARGE for row in rows):
            yield "work_up"


def _solid(earlier: Earlier, first: Row, *, by_volume: bool) -> Iterator[Row]:
    if not by_volume or earlier.volume_ratio is None:
        yield first if first is SMALL else BY_DIAMETER
        return
    for row in _by_growth(earlier.volume_ratio, earlier.days):
        stable = row in (STABLE, WAITING)
        yield SMALL if stable and first is SMALL else row
        if stable and first in LARGE[1:]:
            yield first


def _by_growth(ratio: Measured, days: int | None) -> Iterator[Row]:
    """All rows of figure 2 that the ratio of both volumes allows, the measured one first."""
    if days is None:
        for each in sizes(ratio, (GROWTH,)):
            yield from (FAST, MEDIUM, SLOW, WAITING) if each >= GROWTH else (WAITING, STABLE)
        return
    # The ratios at which the volume doubles in the days of a border.
    borders = sorted((GROWTH, *(2 ** (days / pace) for pace in PACES_DAYS)))
    yield from (row_of_growth(each, days) for each in sizes(ratio, tuple(borders)))


def _subsolid(
    now: Nodule, before: Nodule, kind: AttenuationClass, first: Row, side: int, days: int | None
) -> Iterator[Row]:
    for grew in _subsolid_growth(now, before, kind):
        if grew:
            yield SUBSOLID_GREW
        elif first is SMALL_SUBSOLID:
            yield first
        else:
            if days is None or days < MONTHS_DAYS:
                yield SUBSOLID[side]
            if days is None or days >= MONTHS_DAYS:
                yield STAYING[side]


def _subsolid_growth(now: Nodule, before: Nodule, kind: AttenuationClass) -> tuple[bool, ...]:
    longer = has_grown(now.longest_mm, before.longest_mm, lambda gained_mm: gained_mm >= SUBSOLID_GROWTH_MM)
    if kind != "part_solid" or now.solid_mm is None or longer == (True,):
        return longer
    if before.solid_mm is not None:
        solid = has_grown(now.solid_mm, before.solid_mm, lambda gained_mm: gained_mm >= SUBSOLID_GROWTH_MM)
    elif before.classes[0] == "non_solid":
        solid = tuple(dict.fromkeys(each > 0 for each in (now.solid_mm.value, now.solid_mm.low, now.solid_mm.high)))
    else:
        return longer
    return tuple(dict.fromkeys(one or other for one, other in itertools.product(longer, solid)))
