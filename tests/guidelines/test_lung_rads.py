"""Every row of Lung-RADS v2022 that a first scan can tell, with its borders on both sides."""

from __future__ import annotations

import pytest

from app.guidelines.case import Context
from app.guidelines.lung_rads import assess, row_of
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import nodule, scan

SCREENING = Context(purpose="screening")


@pytest.mark.parametrize(
    ("kind", "mean_mm", "solid_mm", "category"),
    [
        ("solid", 3.0, 0, "2"),
        ("solid", 5.94, 0, "2"),
        ("solid", 5.95, 0, "3"),
        ("solid", 6.0, 0, "3"),
        ("solid", 7.9, 0, "3"),
        ("solid", 8.0, 0, "4A"),
        ("solid", 14.9, 0, "4A"),
        ("solid", 15.0, 0, "4B"),
        ("solid", 40.0, 0, "4B"),
        ("part_solid", 5.9, 5.0, "2"),
        ("part_solid", 6.0, 0.0, "3"),
        ("part_solid", 20.0, 5.9, "3"),
        ("part_solid", 20.0, 6.0, "4A"),
        ("part_solid", 20.0, 7.9, "4A"),
        ("part_solid", 20.0, 8.0, "4B"),
        ("non_solid", 6.0, 0, "2"),
        ("non_solid", 29.9, 0, "2"),
        ("non_solid", 30.0, 0, "3"),
        ("calcified", 12.0, 0, "1"),
    ],
)
def test_rows_of_the_table(kind: AttenuationClass, mean_mm: float, solid_mm: float, category: str) -> None:
    assert row_of(kind, mean_mm, solid_mm).category == category
    found = assess(scan(nodule(mean_mm, kind, solid_mm), context=SCREENING))
    assert (found.category, found.possible) == (category, (category,))


def test_every_category_that_the_interval_allows() -> None:
    found = assess(scan(nodule(8.3, mean_mm=Measured(8.3, 7.8, 15.2)), context=SCREENING))
    assert (found.category, found.possible) == ("4A", ("3", "4A", "4B"))
    (one,) = found.nodules
    assert (one.row.category, one.possible) == ("4A", ("3", "4A", "4B"))


def test_part_solid_nodules_are_uncertain_in_both_sizes() -> None:
    doubtful = nodule(6.2, "part_solid", mean_mm=Measured(6.2, 5.8, 9.0), solid_mm=Measured(5.0, 3.0, 8.2))
    assert assess(scan(doubtful, context=SCREENING)).possible == ("2", "3", "4A", "4B")


def test_a_doubtful_class_allows_the_categories_of_both() -> None:
    doubtful = nodule(9.0, classes=("solid", "part_solid"), solid_mm=Measured(2.0, 1.0, 3.0))
    found = assess(scan(doubtful, context=SCREENING))
    assert (found.category, found.possible) == ("4A", ("3", "4A"))


def test_the_highest_nodule_that_counts_gives_the_category() -> None:
    low = nodule(20.0, counts=False)
    found = assess(scan(nodule(6.5), nodule(9.0, mean_mm=Measured(9.0, 7.5, 9.5)), low, context=SCREENING))
    assert (found.category, found.possible) == ("4A", ("3", "4A"))
    assert [(one.row.category, one.counts) for one in found.nodules] == [("3", True), ("4A", True), ("4B", False)]
    assert assess(scan(low, context=SCREENING)).category is None


def test_spiculation_may_raise_a_category_from_3_on() -> None:
    assert assess(scan(nodule(9.0, spiculated=True), context=SCREENING)).possible == ("4A", "4X")
    assert assess(scan(nodule(9.0, spiculated=None), context=SCREENING)).nodules[0].missing == ("spiculation",)
    assert assess(scan(nodule(4.0, spiculated=True), context=SCREENING)).possible == ("2",)


def test_no_nodule_is_category_1_and_lungs_that_are_cut_0() -> None:
    assert assess(scan(context=SCREENING)).category == "1"
    cut = assess(scan(nodule(9.0), context=SCREENING, whole_lungs=False))
    assert (cut.category, cut.nodules[0].row.category, "whole_lungs" in cut.missing) == ("0", "4A", True)
    alone = assess(scan(nodule(9.0), context=SCREENING, whole_lungs=False, slice_mm=None))
    assert (alone.category, alone.possible, alone.nodules[0].row.category) == (None, (), "4A")


def test_it_is_for_screening_alone_and_says_what_it_does_not_assess() -> None:
    left_out = assess(scan(nodule(9.0), context=Context(purpose="incidental")))
    assert (left_out.applies, left_out.category, left_out.nodules) == (False, None, ())
    assert left_out.reason
    assert {"prior_ct", "airway_nodules", "atypical_cysts"} <= set(assess(scan(nodule(9.0))).missing)
    assert "purpose" in assess(scan(nodule(9.0))).missing
