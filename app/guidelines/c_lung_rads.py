"""C-Lung-RADS (Wang et al. 2024, Nature Medicine 30:3184, doi 10.1038/s41591-024-03211-3), table 1: its first step,
size by density, with mean diameters. Its later steps are learned models and follow-up, and are not assessed."""

from __future__ import annotations

from typing import Final

from app.guidelines.assessment import Assessment, Row, assess_nodule, overall, prior_of
from app.guidelines.case import Case, Nodule, possibilities
from app.guidelines.size_table import SizeTable
from app.inference.prediction import AttenuationClass

NAME: Final = "c-lung-rads"
SOURCE: Final = "C-Lung-RADS 2024, table 1, first step; doi 10.1038/s41591-024-03211-3"

CALCIFIED: Final = Row("0", 0, "nodule of calcium")
NO_NODULE: Final = Row("0", 0, "no nodule found")
# (from mm, row), the lowest first.
SOLID: Final = (
    (0.0, Row("1", 1, "solid, < 6 mm")),
    (6.0, Row("2", 2, "solid, 6 to < 10 mm")),
    (10.0, Row("3", 3, "solid, 10 to < 18 mm")),
    (18.0, Row("4", 4, "solid, >= 18 mm")),
)
SMALL_PART_SOLID: Final = Row("1", 1, "part-solid, < 6 mm in all")
PART_SOLID_FROM_MM: Final = 6.0
PART_SOLID: Final = (
    (0.0, Row("2", 2, "part-solid, >= 6 mm in all with a solid part < 6 mm")),
    (6.0, Row("3", 3, "part-solid, >= 6 mm in all with a solid part of 6 to < 10 mm")),
    (10.0, Row("4", 4, "part-solid, with a solid part >= 10 mm")),
)
NON_SOLID: Final = (
    (0.0, Row("1", 1, "non-solid, < 6 mm")),
    (6.0, Row("2", 2, "non-solid, 6 to < 20 mm")),
    (20.0, Row("3", 3, "non-solid, >= 20 mm")),
)
TABLE: Final = SizeTable(CALCIFIED, SOLID, NON_SOLID, PART_SOLID, PART_SOLID_FROM_MM, SMALL_PART_SOLID)
ALWAYS: Final = ("later_steps", "fat_and_calcium_pattern")


def row_of(kind: AttenuationClass, mean_mm: float, solid_mm: float = 0.0) -> Row:
    """The row of a nodule in the first step."""
    return TABLE.row_of(kind, mean_mm, solid_mm)


def assess(case: Case) -> Assessment:
    """What the first step says of a scan."""
    rows = [_rows(nodule) for nodule in case.nodules]
    nodules = tuple(assess_nodule(n.id, r, counts=n.counts) for n, r in zip(case.nodules, rows, strict=True))
    category, possible = overall(case, nodules, rows)
    if case.whole_lungs and not case.nodules:
        category, possible = NO_NODULE.category, (NO_NODULE.category,)
    missing = (*(() if case.whole_lungs else ("whole_lungs",)), *prior_of(case), *ALWAYS)
    return Assessment(NAME, SOURCE, True, None, category, possible, nodules, missing=missing)


def _rows(nodule: Nodule) -> list[Row]:
    return [row_of(*each) for each in possibilities(nodule, (6.0, 10.0, 18.0, 20.0), (6.0, 10.0))]
