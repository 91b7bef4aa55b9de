"""British Thoracic Society 2015 (Callister et al., doi 10.1136/thoraxjnl-2015-207168), figures 1 and 3: first CT.

Volume where the slices are thin enough for it, else the longest diameter. From 8 mm or 300 mm³ on, and for all
sub-solid nodules that stay, the Brock model decides at 10 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.guidelines import brock
from app.guidelines.assessment import Assessment, Probability, Row, assess_nodule, not_for, overall
from app.guidelines.case import Case, Nodule, possibilities, sizes
from app.inference.prediction import AttenuationClass

NAME: Final = "bts"
SOURCE: Final = "British Thoracic Society 2015, initial approach; doi 10.1136/thoraxjnl-2015-207168"
MIN_AGE_YEARS: Final = 18
MAX_SLICE_MM: Final = 1.25  # of slices on which the guideline measures volumes
BROCK_BORDER: Final = 0.10

BORDERS_MM: Final = (5.0, 6.0, 8.0)
BORDERS_MM3: Final = (80.0, 300.0)
CALCIFIED: Final = Row("calcified", 0, "nodule of calcium: no follow-up")
SMALL: Final = Row("solid-small", 1, "solid, < 5 mm or < 80 mm³: no follow-up")
YEAR: Final = Row("solid-5-6", 3, "solid, 5 to < 6 mm: CT at 1 year")
MONTHS: Final = Row("solid-6-8", 4, "solid, 6 to < 8 mm or 80 to < 300 mm³: CT at 3 months")
SMALL_SUBSOLID: Final = Row("subsolid-small", 2, "sub-solid, < 5 mm: no follow-up")
# By the Brock model: below its border, open, from it on.
LARGE: Final = (
    Row("solid-large-brock-<10", 5, "solid, >= 8 mm or >= 300 mm³, Brock < 10 %: CT at 3 months"),
    Row("solid-large-brock-open", 8, "solid, >= 8 mm or >= 300 mm³: Brock decides at 10 %"),
    Row("solid-large-brock->=10", 9, "solid, >= 8 mm or >= 300 mm³, Brock >= 10 %: PET-CT, then the Herder model"),
)
SUBSOLID: Final = (
    Row(
        "subsolid-brock-<10", 6, "sub-solid, >= 5 mm: CT at 3 months; if it stays, Brock < 10 %: CT at 1, 2 and 4 years"
    ),
    Row("subsolid-brock-open", 7, "sub-solid, >= 5 mm: CT at 3 months; if it stays, Brock decides at 10 %"),
    Row("subsolid-brock->=10", 10, "sub-solid, >= 5 mm: CT at 3 months; if it stays, Brock >= 10 %: biopsy or removal"),
)


def row_of(kind: AttenuationClass, longest_mm: float, volume_mm3: float | None, brock_side: int) -> Row:
    """The row of a nodule, by volume where there is one. `brock_side` is 0 below 10 %, 2 from there on, 1 if open."""
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


def assess(case: Case) -> Assessment:
    """What the guideline says of a first CT of an adult."""
    age = case.context.age_years
    if age is not None and age < MIN_AGE_YEARS:
        return not_for(NAME, SOURCE, "BTS 2015 is for adults")
    measured = case.slice_mm is not None and case.slice_mm <= MAX_SLICE_MM
    risks = [brock.risk(nodule, case) for nodule in case.nodules]
    rows = [list(_rows(n, risk, measured)) for n, risk in zip(case.nodules, risks, strict=True)]
    nodules = tuple(
        assess_nodule(n.id, r, counts=n.counts, missing=_missing(r, risk))
        for n, r, risk in zip(case.nodules, rows, risks, strict=True)
    )
    category, possible = overall(case, nodules, rows)
    missing = ["prior_ct", "juxtapleural", "fat_and_calcium_pattern"]
    missing += [] if measured else ["volume"]
    missing += [] if case.whole_lungs else ["whole_lungs"]
    return Assessment(NAME, SOURCE, True, None, category, possible, nodules, missing=tuple(missing))


def _rows(nodule: Nodule, risk: Probability, measured: bool) -> Iterator[Row]:
    open_or_not = _brock_sides(risk)
    volumes = tuple(sizes(nodule.volume_mm3, BORDERS_MM3)) if measured and nodule.volume_mm3 else (None,)
    for kind, longest_mm, _ in possibilities(nodule, BORDERS_MM, (), longest=True):
        for volume_mm3 in volumes:
            for side in open_or_not:
                yield row_of(kind, longest_mm, volume_mm3, side)


def _brock_sides(risk: Probability) -> tuple[int, ...]:
    """Its side of the border; where it may be on both, open first."""
    if risk.low is None or risk.high is None:
        return (1, 0, 2)
    if (risk.low < BROCK_BORDER) == (risk.high < BROCK_BORDER):
        return (0,) if risk.high < BROCK_BORDER else (2,)
    return (1, 0, 2)


def _missing(rows: list[Row], risk: Probability) -> tuple[str, ...]:
    by_brock = any(row in (LARGE[1], SUBSOLID[1]) for row in rows)
    return ("brock", *risk.missing) if by_brock else ()
