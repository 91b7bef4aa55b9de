"""British Thoracic Society 2015 (Callister et al., doi 10.1136/thoraxjnl-2015-207168), figures 1 and 3: first CT; and,
beside an earlier one, figures 2 and 3 (`bts_rows`).

Volume where the slices are thin enough for it, else the longest diameter. From 8 mm or 300 mm³ on, and for all
sub-solid nodules that stay, the Brock model decides at 10 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.guidelines import brock
from app.guidelines.assessment import Assessment, Probability, Row, assess_nodule, not_for, overall, prior_of
from app.guidelines.bts_rows import (
    BORDERS_MM,
    BORDERS_MM3,
    BROCK_OPEN,
    followed_rows,
    missing_of,
    row_of,
)
from app.guidelines.case import Case, Nodule, possibilities, sizes

NAME: Final = "bts"
SOURCE: Final = "British Thoracic Society 2015, initial approach; doi 10.1136/thoraxjnl-2015-207168"
SOURCE_FOLLOWED: Final = "British Thoracic Society 2015, figures 1 to 3; doi 10.1136/thoraxjnl-2015-207168"
MIN_AGE_YEARS: Final = 18
MAX_SLICE_MM: Final = 1.25  # of slices on which the guideline measures volumes
BROCK_BORDER: Final = 0.10


def assess(case: Case) -> Assessment:
    """What the guideline says of an adult's CT, the first or a later one."""
    age = case.context.age_years
    if age is not None and age < MIN_AGE_YEARS:
        return not_for(NAME, SOURCE, "BTS 2015 is for adults")
    measured = _is_thin(case.slice_mm) and (not case.is_compared or _is_thin(case.earlier_slice_mm))
    risks = [brock.risk(nodule, case) for nodule in case.nodules]
    rows = [list(_rows(n, risk, measured)) for n, risk in zip(case.nodules, risks, strict=True)]
    nodules = tuple(
        assess_nodule(n.id, r, counts=n.counts, missing=_missing(n, r, risk, case))
        for n, r, risk in zip(case.nodules, rows, risks, strict=True)
    )
    category, possible = overall(case, nodules, rows)
    missing = [*prior_of(case, "follow_up_step"), "juxtapleural", "fat_and_calcium_pattern"]
    missing += [] if measured else ["volume"]
    missing += [] if case.whole_lungs else ["whole_lungs"]
    source = SOURCE_FOLLOWED if case.is_compared else SOURCE
    return Assessment(NAME, source, True, None, category, possible, nodules, missing=tuple(missing))


def _is_thin(slice_mm: float | None) -> bool:
    return slice_mm is not None and slice_mm <= MAX_SLICE_MM


def _rows(nodule: Nodule, risk: Probability, measured: bool) -> Iterator[Row]:
    open_or_not = _brock_sides(risk)
    volumes = tuple(sizes(nodule.volume_mm3, BORDERS_MM3)) if measured and nodule.volume_mm3 else (None,)
    for kind, longest_mm, _ in possibilities(nodule, BORDERS_MM, (), longest=True):
        for volume_mm3 in volumes:
            for side in open_or_not:
                first = row_of(kind, longest_mm, volume_mm3, side)
                yield from followed_rows(nodule, kind, first, side, by_volume=measured)


def _brock_sides(risk: Probability) -> tuple[int, ...]:
    """Its side of the border; where it may be on both, open first."""
    if risk.low is None or risk.high is None:
        return (1, 0, 2)
    if (risk.low < BROCK_BORDER) == (risk.high < BROCK_BORDER):
        return (0,) if risk.high < BROCK_BORDER else (2,)
    return (1, 0, 2)


def _missing(nodule: Nodule, rows: list[Row], risk: Probability, case: Case) -> tuple[str, ...]:
    by_brock = any(row in BROCK_OPEN for row in rows)
    followed = missing_of(nodule, rows) if case.is_compared else ()
    return (*(("brock", *risk.missing) if by_brock else ()), *followed)
