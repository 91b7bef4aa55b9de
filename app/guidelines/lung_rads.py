"""Lung-RADS v2022 (American College of Radiology; Christensen et al. 2024, doi 10.1016/j.chest.2023.10.028).

The table of assessment categories at baseline, for mean diameters to one decimal (its note on size). What needs an
earlier CT, airways, cysts, fat or lymph nodes is not assessed.
"""

from __future__ import annotations

from typing import Final

from app.guidelines.assessment import Assessment, NoduleAssessment, Row, assess_nodule, not_for, overall, unknown
from app.guidelines.case import Case, Nodule, possibilities
from app.guidelines.size_table import SizeTable
from app.inference.prediction import AttenuationClass

NAME: Final = "lung-rads"
SOURCE: Final = "ACR Lung-RADS v2022, assessment categories at baseline; doi 10.1016/j.chest.2023.10.028"

NO_NODULE: Final = Row("1", 1, "no nodule found")
CALCIFIED: Final = Row("1", 1, "nodule of calcium")
SUSPICIOUS: Final = Row("4X", 6, "category 3 or 4 with a feature that raises suspicion: spiculation")
INCOMPLETE: Final = "0"
# (from mm, row), the lowest first.
SOLID: Final = (
    (0.0, Row("2", 2, "solid, < 6 mm")),
    (6.0, Row("3", 3, "solid, 6 to < 8 mm")),
    (8.0, Row("4A", 4, "solid, 8 to < 15 mm")),
    (15.0, Row("4B", 5, "solid, >= 15 mm")),
)
PART_SOLID_FROM_MM: Final = 6.0
SMALL_PART_SOLID: Final = Row("2", 2, "part-solid, < 6 mm in all")
PART_SOLID: Final = (
    (0.0, Row("3", 3, "part-solid, >= 6 mm in all with a solid part < 6 mm")),
    (6.0, Row("4A", 4, "part-solid, >= 6 mm in all with a solid part of 6 to < 8 mm")),
    (8.0, Row("4B", 5, "part-solid, with a solid part >= 8 mm")),
)
NON_SOLID: Final = (
    (0.0, Row("2", 2, "non-solid, < 30 mm")),
    (30.0, Row("3", 3, "non-solid, >= 30 mm")),
)
TABLE: Final = SizeTable(CALCIFIED, SOLID, NON_SOLID, PART_SOLID, PART_SOLID_FROM_MM, SMALL_PART_SOLID)
HALF_STEP_MM: Final = 0.05  # diameters are rounded to 0.1 mm before they are compared
ALWAYS: Final = (
    "prior_ct",
    "airway_nodules",
    "atypical_cysts",
    "juxtapleural",
    "fat_and_calcium_pattern",
    "nodes_and_metastases",
    "infection",
)


def row_of(kind: AttenuationClass, mean_mm: float, solid_mm: float = 0.0) -> Row:
    """The row of a nodule at baseline; `solid_mm` is the mean diameter of a part-solid nodule's solid part."""
    mean_mm, solid_mm = (int(each * 10 + 0.5 + 1e-9) / 10 for each in (mean_mm, solid_mm))
    return TABLE.row_of(kind, mean_mm, solid_mm)


def assess(case: Case) -> Assessment:
    """What Lung-RADS says of a baseline scan; nothing of one that is not of a screening programme."""
    if case.context.purpose == "incidental":
        return not_for(NAME, SOURCE, "Lung-RADS is for scans of a screening programme")
    rows = [_rows(nodule) for nodule in case.nodules]
    nodules = [_assessed(n, r) for n, r in zip(case.nodules, rows, strict=True)]
    category, possible = overall(case, nodules, rows)
    missing = (*unknown(case, "purpose"), *ALWAYS)
    if not case.whole_lungs:
        missing = ("whole_lungs", *missing)
        if case.slice_mm is not None:
            category, possible = INCOMPLETE, (INCOMPLETE,)
    elif not case.nodules:
        category, possible = NO_NODULE.category, (NO_NODULE.category,)
    return Assessment(NAME, SOURCE, True, None, category, possible, tuple(nodules), missing=missing)


def _rows(nodule: Nodule) -> list[Row]:
    borders = tuple(border - HALF_STEP_MM for border in (6.0, 8.0, 15.0, 30.0))
    rows = [row_of(*each) for each in possibilities(nodule, borders, borders[:2])]
    # A radiologist may raise what is spiculated; a measurement alone does not.
    if nodule.spiculated is not False and any(row.rank >= SOLID[1][1].rank for row in rows):
        rows.append(SUSPICIOUS)
    return rows


def _assessed(nodule: Nodule, rows: list[Row]) -> NoduleAssessment:
    missing = ("spiculation",) if nodule.spiculated is None else ()
    return assess_nodule(nodule.id, rows, counts=nodule.counts, missing=missing)
