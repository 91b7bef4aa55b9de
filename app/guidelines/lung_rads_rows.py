"""The rows of Lung-RADS v2022 (American College of Radiology; doi 10.1016/j.chest.2023.10.028) by what an earlier CT
shows.

At baseline and new, by size and density (table of assessment categories). Growing, by its note on growth: more than
1.5 mm of mean diameter within 12 months. Stable or smaller, by stepped management: what was 4A is 3 at the follow-up at
3 months, what was 3 is 2 at the one at 6 months; 4B does not step down. What grows beyond a border of size without
growing by the definition is in the row of its size (note on size thresholds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from app.guidelines.assessment import Row
from app.guidelines.case import Nodule, has_grown, possibilities
from app.guidelines.size_table import SizeTable
from app.inference.prediction import AttenuationClass, Measured

CALCIFIED: Final = Row("1", 1, "nodule of calcium")
PART_SOLID_FROM_MM: Final = 6.0
# (from mm, row), the lowest first.
BASELINE: Final = SizeTable(
    calcified=CALCIFIED,
    solid=(
        (0.0, Row("2", 2, "solid, < 6 mm")),
        (6.0, Row("3", 3, "solid, 6 to < 8 mm")),
        (8.0, Row("4A", 4, "solid, 8 to < 15 mm")),
        (15.0, Row("4B", 5, "solid, >= 15 mm")),
    ),
    non_solid=((0.0, Row("2", 2, "non-solid, < 30 mm")), (30.0, Row("3", 3, "non-solid, >= 30 mm"))),
    part_solid=(
        (0.0, Row("3", 3, "part-solid, >= 6 mm in all with a solid part < 6 mm")),
        (6.0, Row("4A", 4, "part-solid, >= 6 mm in all with a solid part of 6 to < 8 mm")),
        (8.0, Row("4B", 5, "part-solid, with a solid part >= 8 mm")),
    ),
    part_solid_from_mm=PART_SOLID_FROM_MM,
    small_part_solid=Row("2", 2, "part-solid, < 6 mm in all"),
)
NEW: Final = SizeTable(
    calcified=CALCIFIED,
    solid=(
        (0.0, Row("2", 2, "solid, new, < 4 mm")),
        (4.0, Row("3", 3, "solid, new, 4 to < 6 mm")),
        (6.0, Row("4A", 4, "solid, new, 6 to < 8 mm")),
        (8.0, Row("4B", 5, "solid, new, >= 8 mm")),
    ),
    non_solid=((0.0, Row("2", 2, "non-solid, new, < 30 mm")), (30.0, Row("3", 3, "non-solid, new, >= 30 mm"))),
    part_solid=(
        (0.0, Row("4A", 4, "part-solid, new, >= 6 mm in all with a solid part < 4 mm")),
        (4.0, Row("4B", 5, "part-solid, new, with a solid part >= 4 mm")),
    ),
    part_solid_from_mm=PART_SOLID_FROM_MM,
    small_part_solid=Row("3", 3, "part-solid, new, < 6 mm in all"),
)
GROWING: Final = SizeTable(
    calcified=CALCIFIED,
    solid=((0.0, Row("4A", 4, "solid, growing, < 8 mm")), (8.0, Row("4B", 5, "solid, growing, >= 8 mm"))),
    # The table has no row for one of 30 mm and more that grows fast.
    non_solid=((0.0, Row("2", 2, "non-solid, growing, < 30 mm")), (30.0, Row("3", 3, "non-solid, >= 30 mm"))),
    part_solid=(
        (0.0, Row("4A", 4, "part-solid, with a new or growing solid part < 4 mm")),
        (4.0, Row("4B", 5, "part-solid, with a new or growing solid part >= 4 mm")),
    ),
    part_solid_from_mm=0.0,
    small_part_solid=Row("4A", 4, "part-solid, with a new or growing solid part < 4 mm"),
)
STABLE_NON_SOLID: Final = Row("2", 2, "non-solid, >= 30 mm, stable or slowly growing")
# By the category before: days until its follow-up is due (3 and 6 months), and the row that it steps down to.
STEPS: Final = {
    "4A": (90, Row("3", 3, "4A before, stable or smaller at 3 months")),
    "3": (180, Row("2", 2, "3 before, stable or smaller at 6 months")),
}
WORKED_UP: Final = "4B"
GROWTH_MM: Final = 1.5
YEAR_DAYS: Final = 365
HALF_STEP_MM: Final = 0.05  # diameters are rounded to 0.1 mm before they are compared
BORDERS_MM: Final = tuple(border - HALF_STEP_MM for border in (4.0, 6.0, 8.0, 15.0, 30.0))
SOLID_BORDERS_MM: Final = BORDERS_MM[:3]


def row_of(kind: AttenuationClass, mean_mm: float, solid_mm: float = 0.0, table: SizeTable = BASELINE) -> Row:
    """The row of a nodule; `solid_mm` is the mean diameter of a part-solid nodule's solid part."""
    mean_mm, solid_mm = (int(each * 10 + 0.5 + 1e-9) / 10 for each in (mean_mm, solid_mm))
    return table.row_of(kind, mean_mm, solid_mm)


def rows_of(nodule: Nodule) -> Iterator[Row]:
    """All rows in which a nodule may be, the likeliest first; some come more than once."""
    earlier = nodule.earlier
    if earlier is not None and earlier.nodule is not None:
        yield from _followed(nodule, earlier.nodule, earlier.days)
        return
    table = BASELINE if earlier is None else NEW
    yield from (row_of(*each, table) for each in possibilities(nodule, BORDERS_MM, SOLID_BORDERS_MM))


def missing_of(nodule: Nodule) -> Iterator[str]:
    """What the comparison with an earlier CT leaves open."""
    if nodule.earlier is None:
        yield "not_compared"
        return
    before, days = nodule.earlier.nodule, nodule.earlier.days
    if before is None:
        return
    yield "earlier_category"
    if days is None:
        yield "interval"
    if any(row.category == WORKED_UP for row in _baseline(before)):
        yield "work_up"
    if _without_row(nodule, before, days):
        yield "growth"


def stepped(base: Row, before: Row, days: int | None) -> Iterator[Row]:
    """The rows of a nodule that has not grown, by the row of its size and the one that it had, the likeliest first."""
    if base.rank > before.rank or before.category not in STEPS:
        yield base
        return
    due_days, lower = STEPS[before.category]
    if days is None or days < due_days:
        # Its follow-up is not known to be due: it is where it was.
        yield before
    if days is None or days >= due_days:
        yield lower
        # It may have stepped down before.
        later_days, lowest = STEPS["3"]
        if days is None or days >= later_days:
            yield lowest
    elif base.rank < before.rank:
        yield base


def _followed(nodule: Nodule, before: Nodule, days: int | None) -> Iterator[Row]:
    rows = tuple(dict.fromkeys(_baseline(before)))
    for kind, size, solid in possibilities(nodule, BORDERS_MM, SOLID_BORDERS_MM):
        for grew in _growth(kind, nodule, before, days):
            if kind == "calcified" or grew:
                yield row_of(kind, size, solid, GROWING)
            elif kind == "non_solid":
                yield STABLE_NON_SOLID if row_of(kind, size).rank > STABLE_NON_SOLID.rank else row_of(kind, size)
            else:
                for row in rows:
                    yield from stepped(row_of(kind, size, solid), row, days)


def _baseline(nodule: Nodule) -> Iterator[Row]:
    return (row_of(*each) for each in possibilities(nodule, BORDERS_MM, SOLID_BORDERS_MM))


def _growth(kind: AttenuationClass, now: Nodule, before: Nodule, days: int | None) -> tuple[bool, ...]:
    """Whether it has grown as measured, and then what else is possible; of a part-solid nodule its solid part.

    Between scans that are more than a year apart, what has gained enough in all may have done so within 12 months.
    """
    share = YEAR_DAYS / days if days is not None and days > YEAR_DAYS else 1.0
    rules = [_gains(each) for each in ((share,) if kind == "non_solid" else (1.0, share))]
    if kind != "part_solid" or now.solid_mm is None:
        told = [has_grown(now.mean_mm, before.mean_mm, rule) for rule in rules]
    else:
        told = [_solid_growth(now.solid_mm, part, rule) for part in _solid_before(before) for rule in rules]
    return tuple(dict.fromkeys(each for answers in told for each in answers))


def _gains(share: float) -> Callable[[float], bool]:
    """Whether so many millimetres, of which this share falls into 12 months, are growth."""
    return lambda gained_mm: gained_mm * share > GROWTH_MM + 1e-9


def _solid_before(before: Nodule) -> Iterator[Measured]:
    """What the solid part of a nodule may have measured: nothing, or all of it, by its class."""
    for kind in before.classes:
        if kind == "part_solid" and before.solid_mm is not None:
            yield before.solid_mm
        elif kind == "non_solid":
            yield Measured(0.0, 0.0, 0.0)
        else:
            yield before.mean_mm


def _solid_growth(now: Measured, before: Measured, rule: Callable[[float], bool]) -> tuple[bool, ...]:
    """A solid part that is new counts however small it is."""
    if before.high == 0:
        return tuple(dict.fromkeys(each > 0 for each in (now.value, now.low, now.high)))
    return has_grown(now, before, rule)


def _without_row(nodule: Nodule, before: Nodule, days: int | None) -> bool:
    """Whether it has grown in a way for which the table has no row: ground glass of 30 mm, or that around a solid part
    which has not."""
    kind = nodule.classes[0]
    if kind == "non_solid":
        return (
            row_of(kind, nodule.mean_mm.value).rank > STABLE_NON_SOLID.rank and _growth(kind, nodule, before, days)[0]
        )
    whole = _growth("solid", nodule, before, days)[0]
    return kind == "part_solid" and whole and not _growth(kind, nodule, before, days)[0]
