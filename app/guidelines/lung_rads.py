"""Lung-RADS v2022 (American College of Radiology; Christensen et al. 2024, doi 10.1016/j.chest.2023.10.028).

The table of assessment categories, for mean diameters to one decimal (its note on size): at baseline, and of what is
new, growing or stable beside an earlier CT (`lung_rads_rows`). Airways, cysts, fat and lymph nodes are not assessed.
"""

from __future__ import annotations

from typing import Final

from app.guidelines.assessment import (
    Assessment,
    NoduleAssessment,
    Row,
    assess_nodule,
    not_for,
    overall,
    prior_of,
    unknown,
)
from app.guidelines.case import Case, Nodule
from app.guidelines.lung_rads_rows import missing_of, rows_of

NAME: Final = "lung-rads"
SOURCE: Final = "ACR Lung-RADS v2022, assessment categories at baseline; doi 10.1016/j.chest.2023.10.028"
SOURCE_FOLLOWED: Final = "ACR Lung-RADS v2022, assessment categories; doi 10.1016/j.chest.2023.10.028"

NO_NODULE: Final = Row("1", 1, "no nodule found")
SUSPICIOUS: Final = Row("4X", 6, "category 3 or 4 with a feature that raises suspicion: spiculation")
RAISED_FROM: Final = 3  # the rank of category 3
INCOMPLETE: Final = "0"
ALWAYS: Final = (
    "airway_nodules",
    "atypical_cysts",
    "juxtapleural",
    "fat_and_calcium_pattern",
    "nodes_and_metastases",
    "infection",
)


def assess(case: Case) -> Assessment:
    """What Lung-RADS says of a scan; nothing of one that is not of a screening programme."""
    if case.context.purpose == "incidental":
        return not_for(NAME, SOURCE, "Lung-RADS is for scans of a screening programme")
    rows = [_rows(nodule) for nodule in case.nodules]
    nodules = [_assessed(n, r, case) for n, r in zip(case.nodules, rows, strict=True)]
    category, possible = overall(case, nodules, rows)
    missing = (*unknown(case, "purpose"), *prior_of(case, "slow_growth"), *ALWAYS)
    source = SOURCE_FOLLOWED if case.is_compared else SOURCE
    if not case.whole_lungs:
        missing = ("whole_lungs", *missing)
        if case.slice_mm is not None:
            category, possible = INCOMPLETE, (INCOMPLETE,)
    elif not case.nodules:
        category, possible = NO_NODULE.category, (NO_NODULE.category,)
    return Assessment(NAME, source, True, None, category, possible, tuple(nodules), missing=missing)


def _rows(nodule: Nodule) -> list[Row]:
    rows = list(dict.fromkeys(rows_of(nodule)))
    # A radiologist may raise what is spiculated; a measurement alone does not.
    if nodule.spiculated is not False and any(row.rank >= RAISED_FROM for row in rows):
        rows.append(SUSPICIOUS)
    return rows


def _assessed(nodule: Nodule, rows: list[Row], case: Case) -> NoduleAssessment:
    missing = ("spiculation",) if nodule.spiculated is None else ()
    if case.is_compared:
        missing = (*missing, *missing_of(nodule))
    return assess_nodule(nodule.id, rows, counts=nodule.counts, missing=missing)
