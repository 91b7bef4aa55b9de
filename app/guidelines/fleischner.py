"""Fleischner Society 2017 (MacMahon et al., doi 10.1148/radiol.2017161659), table 1: nodules found by chance in adults.

Diameters are means of both axes, rounded to whole millimetres. Risk is high where one of the text's factors is known:
smoking, lung cancer in the family, emphysema, spiculation; low where all are known to be absent; else both rows are
possible. Age has no border in the text and is not used.

Of an earlier CT the table and its comments use two things. Single ground glass that grows, or gets a solid part, is one
row; a single part-solid nodule that stays, with a solid part of 6 mm, another. Growth is 2 mm of mean diameter (the
society's measuring statement of 2017, doi 10.1148/radiol.2017162894). The rest is left to a reader.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final, Literal

from app.guidelines.assessment import Assessment, Row, assess_nodule, not_for, overall, prior_of, unknown
from app.guidelines.case import Case, Context, Nodule, has_grown, possibilities
from app.inference.prediction import AttenuationClass

NAME: Final = "fleischner"
SOURCE: Final = "Fleischner Society 2017, table 1; doi 10.1148/radiol.2017161659"
MIN_AGE_YEARS: Final = 35
Risk = Literal["low", "high"]

CALCIFIED: Final = Row("calcified", 0, "nodule of calcium: the table is for others")
# Whole millimetres of which the second group begins, and after which the third does.
MEDIUM_FROM_MM, MEDIUM_TO_MM = 6, 8
SOLID: Final[dict[tuple[str, bool, Risk], Row]] = {
    ("<6", False, "low"): Row("solid-single-<6-low", 1, "solid, single, < 6 mm, low risk: no routine follow-up"),
    ("<6", True, "low"): Row("solid-multiple-<6-low", 2, "solid, multiple, < 6 mm, low risk: no routine follow-up"),
    ("<6", False, "high"): Row("solid-single-<6-high", 3, "solid, single, < 6 mm, high risk: CT at 12 months optional"),
    ("<6", True, "high"): Row(
        "solid-multiple-<6-high", 4, "solid, multiple, < 6 mm, high risk: CT at 12 months optional"
    ),
    ("6-8", False, "low"): Row(
        "solid-single-6-8-low", 7, "solid, single, 6 to 8 mm, low risk: CT at 6 to 12 months, perhaps at 18 to 24"
    ),
    ("6-8", False, "high"): Row(
        "solid-single-6-8-high", 8, "solid, single, 6 to 8 mm, high risk: CT at 6 to 12 months and at 18 to 24"
    ),
    ("6-8", True, "low"): Row(
        "solid-multiple-6-8-low", 9, "solid, multiple, 6 to 8 mm, low risk: CT at 3 to 6 months, perhaps at 18 to 24"
    ),
    ("6-8", True, "high"): Row(
        "solid-multiple-6-8-high", 10, "solid, multiple, 6 to 8 mm, high risk: CT at 3 to 6 months and at 18 to 24"
    ),
    (">8", True, "low"): Row(
        "solid-multiple->8-low", 14, "solid, multiple, > 8 mm, low risk: CT at 3 to 6 months, perhaps at 18 to 24"
    ),
    (">8", True, "high"): Row(
        "solid-multiple->8-high", 15, "solid, multiple, > 8 mm, high risk: CT at 3 to 6 months and at 18 to 24"
    ),
    (">8", False, "low"): Row(
        "solid-single->8-low", 16, "solid, single, > 8 mm, low risk: CT at 3 months, PET/CT or tissue to be considered"
    ),
    (">8", False, "high"): Row(
        "solid-single->8-high",
        17,
        "solid, single, > 8 mm, high risk: CT at 3 months, PET/CT or tissue to be considered",
    ),
}
SMALL: Final[dict[AttenuationClass, Row]] = {
    "non_solid": Row("non-solid-single-<6", 5, "ground glass, single, < 6 mm: no routine follow-up"),
    "part_solid": Row("part-solid-single-<6", 5, "part-solid, single, < 6 mm: no routine follow-up"),
}
SMALL_MULTIPLE: Final = Row(
    "subsolid-multiple-<6", 6, "subsolid, multiple, < 6 mm: CT at 3 to 6 months, perhaps at 2 and 4 years"
)
NON_SOLID: Final = Row(
    "non-solid-single->=6", 11, "ground glass, single, >= 6 mm: CT at 6 to 12 months, then every 2 years to 5 years"
)
PART_SOLID: Final = (
    Row(
        "part-solid-single->=6-solid-<6",
        12,
        "part-solid, single, >= 6 mm, solid part < 6 mm: CT at 3 to 6 months, then yearly for 5 years",
    ),
    Row(
        "part-solid-single->=6-solid->=6",
        18,
        "part-solid, single, >= 6 mm, solid part >= 6 mm: CT at 3 to 6 months; highly suspicious if it stays",
    ),
)
SUBSOLID_MULTIPLE: Final = Row(
    "subsolid-multiple->=6", 13, "subsolid, multiple, >= 6 mm: CT at 3 to 6 months, then by the most suspicious one"
)
NON_SOLID_GREW: Final = Row(
    "non-solid-single-grew", 19, "ground glass, single, >= 6 mm, growing or with a solid part: removal to be considered"
)
PART_SOLID_STAYS: Final = Row(
    "part-solid-single-stays-solid->=6", 20, "part-solid, single, stays, solid part >= 6 mm: highly suspicious"
)
GROWTH_MM: Final = 2.0
STAYS_DAYS: Final = 90  # the first follow-up of a part-solid nodule, at 3 to 6 months
BORDERS_MM: Final = (MEDIUM_FROM_MM - 0.5, MEDIUM_TO_MM + 0.5)


def row_of(kind: AttenuationClass, mean_mm: float, solid_mm: float = 0.0, *, multiple: bool, risk: Risk) -> Row:
    """The table's row for a nodule."""
    size, solid = (math.floor(each + 0.5) for each in (mean_mm, solid_mm))
    if kind == "calcified":
        return CALCIFIED
    if kind == "solid":
        group = "<6" if size < MEDIUM_FROM_MM else "6-8" if size <= MEDIUM_TO_MM else ">8"
        return SOLID[group, multiple, risk]
    if size < MEDIUM_FROM_MM:
        return SMALL_MULTIPLE if multiple else SMALL[kind]
    if multiple:
        return SUBSOLID_MULTIPLE
    return NON_SOLID if kind == "non_solid" else PART_SOLID[solid >= MEDIUM_FROM_MM]


def risks(context: Context, spiculated: bool | None) -> tuple[Risk, ...]:
    """The risk of a patient with such a nodule; both, high first, where not enough is known."""
    smoked = None if context.smoking is None else context.smoking != "never"
    factors = (smoked, context.family_history, context.emphysema, spiculated)
    if any(factors):
        return ("high",)
    return ("low",) if None not in factors else ("high", "low")


def assess(case: Case) -> Assessment:
    """What the table says; nothing of those whom the guideline leaves out."""
    reason = _left_out(case.context)
    if reason is not None:
        return not_for(NAME, SOURCE, reason)
    rows = [list(_rows(nodule, case)) for nodule in case.nodules]
    nodules = tuple(
        assess_nodule(n.id, r, counts=n.counts, missing=_missing(n, case))
        for n, r in zip(case.nodules, rows, strict=True)
    )
    category, possible = overall(case, nodules, rows)
    missing = (
        *(() if case.whole_lungs else ("whole_lungs",)),
        *unknown(case, "purpose", "age_years", "known_cancer", "immunosuppressed"),
        *prior_of(case, "follow_up_step"),
        "juxtapleural",
        "fat_and_calcium_pattern",
    )
    return Assessment(NAME, SOURCE, True, None, category, possible, nodules, missing=missing)


def _left_out(context: Context) -> str | None:
    if context.purpose == "screening":
        return "Fleischner 2017 is not for scans of a screening programme"
    if context.age_years is not None and context.age_years < MIN_AGE_YEARS:
        return "Fleischner 2017 is for adults from 35 years on"
    if context.known_cancer in ("past", "recent"):
        return "Fleischner 2017 is not for patients with known cancer"
    if context.immunosuppressed:
        return "Fleischner 2017 is not for patients whose immune system is suppressed"
    return None


def _rows(nodule: Nodule, case: Case) -> Iterator[Row]:
    sized = possibilities(nodule, BORDERS_MM, BORDERS_MM[:1])
    for (kind, size, solid), multiple, risk in itertools.product(
        sized, _multiple(case), risks(case.context, nodule.spiculated)
    ):
        yield from _followed(nodule, row_of(kind, size, solid, multiple=multiple, risk=risk))


def _followed(nodule: Nodule, first: Row) -> Iterator[Row]:
    """The rows of a nodule that a first CT would put into `first`, by an earlier one where there is one."""
    before = None if nodule.earlier is None else nodule.earlier.nodule
    days = None if nodule.earlier is None else nodule.earlier.days
    was_glass = before is not None and before.classes[0] == "non_solid"
    if before is None or first not in (NON_SOLID, *PART_SOLID):
        yield first
    elif was_glass:
        changed = (True,) if first in PART_SOLID else _growth(nodule, before)
        yield from (NON_SOLID_GREW if each else first for each in changed)
    elif first == PART_SOLID[1]:
        if days is None or days < STAYS_DAYS:
            yield first
        if days is None or days >= STAYS_DAYS:
            yield PART_SOLID_STAYS
    else:
        yield first


def _growth(now: Nodule, before: Nodule) -> tuple[bool, ...]:
    return has_grown(now.mean_mm, before.mean_mm, lambda gained_mm: gained_mm >= GROWTH_MM)


def _multiple(case: Case) -> tuple[bool, ...]:
    how_many = case.how_many()
    if how_many is None:
        return (False, True)
    least, most = how_many
    return (least > 1,) if (least > 1) == (most > 1) else (False, True)


def _missing(nodule: Nodule, case: Case) -> Iterator[str]:
    if "solid" in nodule.classes and len(risks(case.context, nodule.spiculated)) > 1:
        yield from unknown(case, "smoking", "family_history", "emphysema")
        if nodule.spiculated is None:
            yield "spiculation"
    if len(_multiple(case)) > 1:
        yield "number_of_nodules"
    if case.is_compared:
        yield from _of_comparison(nodule)


def _of_comparison(nodule: Nodule) -> Iterator[str]:
    """What the comparison with an earlier CT leaves open."""
    if nodule.earlier is None:
        yield "not_compared"
    elif nodule.earlier.nodule is None:
        yield "new_nodule"
    else:
        if nodule.earlier.days is None:
            yield "interval"
        if nodule.classes[0] != "non_solid" and _growth(nodule, nodule.earlier.nodule)[0]:
            yield "growth"
