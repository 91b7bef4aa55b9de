"""Every branch of BTS 2015 at a first CT and at later ones, with its borders on both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.guidelines.bts import assess
from app.guidelines.case import Context, Nodule
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import ALL_KNOWN, exactly, followed, nodule, scan


@pytest.mark.parametrize(
    ("kind", "mm", "category"),
    [
        ("calcified", 12.0, "calcified"),
        ("solid", 4.99, "solid-small"),
        ("solid", 5.0, "solid-5-6"),
        ("solid", 5.99, "solid-5-6"),
        ("solid", 6.0, "solid-6-8"),
        ("solid", 7.99, "solid-6-8"),
        ("solid", 8.0, "solid-large-brock-<10"),
        ("solid", 29.0, "solid-large-brock->=10"),
        ("non_solid", 4.99, "subsolid-small"),
        ("part_solid", 5.0, "subsolid-brock-<10"),
        ("non_solid", 29.0, "subsolid-brock->=10"),
    ],
)
def test_rows_by_diameter(kind: AttenuationClass, mm: float, category: str) -> None:
    found = assess(scan(nodule(mm, kind)))
    assert (found.category, found.possible) == (category, (category,))


@pytest.mark.parametrize(
    ("mm3", "category"),
    [
        (79.9, "solid-small"),
        (80.0, "solid-6-8"),
        (299.9, "solid-6-8"),
        (300.0, "solid-large-brock-<10"),
    ],
)
def test_rows_by_volume_where_slices_are_thin(mm3: float, category: str) -> None:
    found = assess(scan(nodule(5.5, volume_mm3=exactly(mm3)), slice_mm=1.25))
    assert (found.category, found.possible) == (category, (category,))
    thick = assess(scan(nodule(5.5, volume_mm3=exactly(mm3)), slice_mm=1.3))
    assert (thick.category, "volume" in thick.missing) == ("solid-5-6", True)


def test_brock_decides_at_10_percent_and_may_be_open() -> None:
    low, high = nodule(14.0), nodule(16.0, spiculated=True)
    assert assess(scan(low)).category == "solid-large-brock-<10"
    assert assess(scan(high)).category == "solid-large-brock->=10"
    found = assess(scan(nodule(14.0), context=Context(age_years=62)))
    assert found.category == "solid-large-brock-open"
    assert {"solid-large-brock-<10", "solid-large-brock->=10"} < set(found.possible)
    assert {"brock", "sex", "family_history", "emphysema"} <= set(found.nodules[0].missing)
    assert "age_years" in assess(scan(nodule(14.0), context=Context())).nodules[0].missing


def test_it_is_for_adults_and_the_longest_diameter_counts() -> None:
    assert not assess(scan(nodule(9.0), context=replace(ALL_KNOWN, age_years=17))).applies
    assert assess(scan(nodule(9.0), context=replace(ALL_KNOWN, age_years=18))).applies
    oval = nodule(5.0, longest_mm=Measured(7.0, 5.5, 8.1))
    assert assess(scan(oval)).possible == ("solid-5-6", "solid-6-8", "solid-large-brock-<10")


def ball(mm3: float) -> Nodule:
    """A solid nodule of this volume."""
    return nodule(5.5, volume_mm3=exactly(mm3))


# Days in which the volume doubles where it has so many times the volume after 100: 100 * log 2 / log of it.
@pytest.mark.parametrize(
    ("before", "now", "days", "category"),
    [
        (ball(100.0), ball(124.9), 100, "solid-before-1-year"),
        (ball(100.0), ball(125.0), 100, "solid-grew-<=400"),  # 311 days
        (ball(100.0), ball(125.0), 128, "solid-grew-<=400"),  # 398
        (ball(100.0), ball(125.0), 130, "solid-before-1-year"),  # 404
        (ball(100.0), ball(124.9), 364, "solid-before-1-year"),
        (ball(100.0), ball(124.9), 365, "solid-stable-1-year"),
        (ball(100.0), ball(50.0), 365, "solid-small"),  # smaller, and below the border of size
        (ball(200.0), ball(100.0), 365, "solid-stable-1-year"),
        (ball(100.0), ball(188.5), 365, "solid-grew-<=400"),  # 399
        (ball(100.0), ball(188.0), 365, "solid-grew-400-600"),  # 401
        (ball(100.0), ball(152.6), 365, "solid-grew-400-600"),  # 599
        (ball(100.0), ball(152.0), 365, "solid-grew->600"),  # 604
        (ball(50.0), ball(60.0), 100, "solid-small"),
        (ball(50.0), ball(79.0), 100, "solid-grew-<=400"),
    ],
)
def test_rows_of_a_solid_nodule_that_is_followed(before: Nodule, now: Nodule, days: int, category: str) -> None:
    found = assess(followed(now, before, days=days, slice_mm=1.0))
    assert (found.category, found.possible) == (category, (category,))
    assert "follow_up_step" in found.missing
    assert "prior_ct" not in found.missing


def test_the_change_is_as_uncertain_as_its_interval() -> None:
    case = followed(ball(130.0), ball(100.0), days=365, slice_mm=1.0)
    (one,) = case.nodules
    assert one.earlier is not None
    doubtful = replace(one, earlier=replace(one.earlier, volume_ratio=Measured(1.3, 1.1, 2.0)))
    found = assess(replace(case, nodules=(doubtful,)))
    assert found.category == "solid-grew->600"
    assert found.possible == ("solid-stable-1-year", "solid-grew->600", "solid-grew-400-600", "solid-grew-<=400")


def test_without_dates_growth_is_told_and_its_pace_is_open() -> None:
    grown = assess(followed(ball(200.0), ball(100.0), days=None, slice_mm=1.0))
    assert grown.category == "solid-grew-<=400"
    assert grown.possible == ("solid-before-1-year", "solid-grew->600", "solid-grew-400-600", "solid-grew-<=400")
    assert "interval" in grown.nodules[0].missing
    stable = assess(followed(ball(100.0), ball(100.0), days=None, slice_mm=1.0))
    assert stable.possible == ("solid-stable-1-year", "solid-before-1-year")


@pytest.mark.parametrize("thick", [{"slice_mm": 1.3}, {"earlier_slice_mm": 1.3}])
def test_on_thick_slices_the_change_of_a_solid_nodule_is_left_to_a_reader(thick: dict[str, float]) -> None:
    found = assess(followed(ball(200.0), ball(100.0), days=100, **({"slice_mm": 1.0} | thick)))
    assert (found.category, "volume" in found.missing) == ("solid-by-diameter", True)


def test_a_large_solid_nodule_that_is_stable_may_have_been_worked_up() -> None:
    large = nodule(16.0, spiculated=True, volume_mm3=exactly(2000.0))
    found = assess(followed(large, large, days=365, slice_mm=1.0))
    assert found.possible == ("solid-stable-1-year", "solid-large-brock->=10")
    assert "work_up" in found.nodules[0].missing


@pytest.mark.parametrize(
    ("before", "now", "days", "category"),
    [
        (nodule(8.0, "non_solid"), nodule(9.99, "non_solid"), 90, "subsolid-stays-brock-<10"),
        (nodule(8.0, "non_solid"), nodule(10.0, "non_solid"), 90, "subsolid-grew"),
        (nodule(8.0, "non_solid"), nodule(8.0, "non_solid"), 89, "subsolid-brock-<10"),
        (nodule(8.0, "non_solid"), nodule(8.0, "part_solid", 1.0), 30, "subsolid-grew"),
        (nodule(8.0, "part_solid", 2.0), nodule(8.0, "part_solid", 3.9), 90, "subsolid-stays-brock-<10"),
        (nodule(8.0, "part_solid", 2.0), nodule(8.0, "part_solid", 4.0), 90, "subsolid-grew"),
        (nodule(29.0, "non_solid"), nodule(29.0, "non_solid"), 90, "subsolid-stays-brock->=10"),
        (nodule(4.0, "non_solid"), nodule(4.0, "non_solid"), 365, "subsolid-small"),
        (nodule(8.0, "calcified"), nodule(12.0, "calcified"), 365, "calcified"),
    ],
)
def test_rows_of_a_sub_solid_nodule_that_is_followed(before: Nodule, now: Nodule, days: int, category: str) -> None:
    found = assess(followed(now, before, days=days))
    assert (found.category, found.possible) == (category, (category,))


def test_a_new_nodule_and_one_that_was_not_compared_are_as_at_a_first_ct() -> None:
    new = assess(followed(ball(100.0), None, slice_mm=1.0))
    assert (new.category, new.nodules[0].missing) == ("solid-6-8", ("new_nodule",))
    left = assess(scan(ball(100.0), slice_mm=1.0, earlier_slice_mm=1.0))
    assert (left.category, left.nodules[0].missing) == ("solid-6-8", ("not_compared",))
