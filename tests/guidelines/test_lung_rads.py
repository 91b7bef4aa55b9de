"""Every row of Lung-RADS v2022 that one scan or two can tell, with its borders on both sides."""

from __future__ import annotations

import pytest

from app.guidelines.case import Context, Nodule
from app.guidelines.lung_rads import assess
from app.guidelines.lung_rads_rows import row_of
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import followed, nodule, scan

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


@pytest.mark.parametrize(
    ("kind", "mean_mm", "solid_mm", "category"),
    [
        ("solid", 3.9, 0, "2"),
        ("solid", 4.0, 0, "3"),
        ("solid", 5.9, 0, "3"),
        ("solid", 6.0, 0, "4A"),
        ("solid", 7.9, 0, "4A"),
        ("solid", 8.0, 0, "4B"),
        ("part_solid", 5.9, 0.0, "3"),
        ("part_solid", 6.0, 3.9, "4A"),
        ("part_solid", 6.0, 4.0, "4B"),
        ("non_solid", 29.9, 0, "2"),
        ("non_solid", 30.0, 0, "3"),
        ("calcified", 12.0, 0, "1"),
    ],
)
def test_rows_of_what_is_new(kind: AttenuationClass, mean_mm: float, solid_mm: float, category: str) -> None:
    found = assess(followed(nodule(mean_mm, kind, solid_mm), None, context=SCREENING))
    assert (found.category, found.possible) == (category, (category,))


@pytest.mark.parametrize(
    ("before", "now", "category"),
    [
        (nodule(5.0), nodule(6.5), "3"),  # 1.5 mm is no growth yet, but over a border of size
        (nodule(5.0), nodule(6.6), "4A"),
        (nodule(3.0), nodule(4.6), "4A"),
        (nodule(6.3), nodule(7.9), "4A"),
        (nodule(6.4), nodule(8.0), "4B"),
        (nodule(9.0), nodule(20.0), "4B"),
        (nodule(9.0, "part_solid", 1.0), nodule(9.0, "part_solid", 2.6), "4A"),
        (nodule(9.0, "part_solid", 2.3), nodule(9.0, "part_solid", 3.9), "4A"),
        (nodule(9.0, "part_solid", 2.4), nodule(9.0, "part_solid", 4.0), "4B"),
        (nodule(9.0, "non_solid"), nodule(9.0, "part_solid", 0.5), "4A"),  # a solid part that is new
        (nodule(9.0, "non_solid"), nodule(9.0, "part_solid", 4.0), "4B"),
        (nodule(20.0, "non_solid"), nodule(29.9, "non_solid"), "2"),
        (nodule(31.0, "non_solid"), nodule(40.0, "non_solid"), "3"),
    ],
)
def test_rows_of_what_grows(before: Nodule, now: Nodule, category: str) -> None:
    found = assess(followed(now, before, days=200, context=SCREENING))
    assert (found.category, found.possible) == (category, (category,))


@pytest.mark.parametrize(
    ("before", "now", "days", "possible"),
    [
        (nodule(5.0), nodule(5.5), 365, ("2",)),
        (nodule(7.0), nodule(7.5), 179, ("3",)),
        (nodule(7.0), nodule(7.5), 180, ("2",)),
        (nodule(7.0), nodule(4.0), 180, ("2",)),
        (nodule(7.9), nodule(8.1), 180, ("4A",)),  # over a border of size without growing: where its size is
        (nodule(9.0), nodule(9.0), 89, ("4A",)),
        (nodule(9.0), nodule(9.0), 90, ("3",)),
        (nodule(9.0), nodule(9.0), 180, ("2", "3")),  # 2, if it had stepped down before
        (nodule(9.0), nodule(7.0), 30, ("3", "4A")),
        (nodule(16.0), nodule(16.0), 365, ("4B",)),
        (nodule(9.0, "part_solid", 7.0), nodule(9.0, "part_solid", 7.0), 90, ("3",)),
        (nodule(9.0, "part_solid", 3.0), nodule(9.0, "part_solid", 3.0), 180, ("2",)),
        (nodule(31.0, "non_solid"), nodule(32.0, "non_solid"), 90, ("2",)),
        (nodule(9.0), nodule(9.0), None, ("2", "3", "4A")),
    ],
)
def test_rows_of_what_is_stable(before: Nodule, now: Nodule, days: int | None, possible: tuple[str, ...]) -> None:
    found = assess(followed(now, before, days=days, context=SCREENING))
    assert found.possible == possible
    assert ("interval" in found.nodules[0].missing) == (days is None)
    assert ("work_up" in found.nodules[0].missing) == (before.mean_mm.value == 16)


def test_growth_is_as_uncertain_as_both_measurements() -> None:
    now = nodule(7.0, mean_mm=Measured(7.0, 6.4, 7.5))
    found = assess(followed(now, nodule(6.0, mean_mm=Measured(6.0, 5.2, 6.5)), days=180, context=SCREENING))
    assert (found.nodules[0].row.category, found.possible) == ("2", ("2", "3", "4A"))


def test_what_gains_enough_in_more_than_a_year_may_have_grown_within_one() -> None:
    found = assess(followed(nodule(9.0), nodule(7.0), days=730, context=SCREENING))
    assert (found.category, found.possible) == ("4B", ("4A", "4B"))
    fast = assess(followed(nodule(11.0), nodule(7.0), days=730, context=SCREENING))
    assert fast.possible == ("4B",)
    assert "slow_growth" in fast.missing


def test_growth_that_has_no_row_is_left_to_a_reader() -> None:
    around = assess(followed(nodule(12.0, "part_solid", 3.0), nodule(9.0, "part_solid", 3.0), days=90))
    assert (around.category, "growth" in around.nodules[0].missing) == ("3", True)
    glass = assess(followed(nodule(40.0, "non_solid"), nodule(31.0, "non_solid"), days=90))
    assert "growth" in glass.nodules[0].missing
    assert "growth" not in assess(followed(nodule(9.0), nodule(6.0), days=90)).nodules[0].missing


def test_what_could_not_be_compared_is_assessed_as_at_baseline_and_says_so() -> None:
    compared = assess(scan(nodule(9.0), context=SCREENING, earlier_slice_mm=1.0))
    assert (compared.category, compared.nodules[0].missing) == ("4A", ("not_compared",))
    assert "prior_ct" not in compared.missing
    assert compared.source != assess(scan(nodule(9.0), context=SCREENING)).source
