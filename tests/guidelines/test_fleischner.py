"""Every row of Fleischner 2017, table 1, with its borders on both sides: sizes in whole millimetres."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.guidelines.case import Context, Nodule
from app.guidelines.fleischner import assess
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import ALL_KNOWN, followed, nodule, scan

HIGH = replace(ALL_KNOWN, smoking="current")


@pytest.mark.parametrize("risk", ["low", "high"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("mean_mm", "group"),
    [(3.0, "<6"), (5.4, "<6"), (5.5, "6-8"), (7.0, "6-8"), (8.4, "6-8"), (8.5, ">8"), (25.0, ">8")],
)
def test_rows_of_solid_nodules(mean_mm: float, group: str, count: int, risk: str) -> None:
    found = assess(scan(*[nodule(mean_mm)] * count, context=HIGH if risk == "high" else ALL_KNOWN))
    category = f"solid-{'single' if count == 1 else 'multiple'}-{group}-{risk}"
    assert (found.category, found.possible) == (category, (category,))


@pytest.mark.parametrize(
    ("kind", "mean_mm", "solid_mm", "count", "category"),
    [
        ("non_solid", 5.4, 0, 1, "non-solid-single-<6"),
        ("non_solid", 5.5, 0, 1, "non-solid-single->=6"),
        ("part_solid", 5.4, 3.0, 1, "part-solid-single-<6"),
        ("part_solid", 5.5, 5.4, 1, "part-solid-single->=6-solid-<6"),
        ("part_solid", 9.0, 5.5, 1, "part-solid-single->=6-solid->=6"),
        ("non_solid", 5.4, 0, 2, "subsolid-multiple-<6"),
        ("part_solid", 5.5, 0, 2, "subsolid-multiple->=6"),
        ("calcified", 9.0, 0, 1, "calcified"),
    ],
)
def test_rows_of_other_nodules(
    kind: AttenuationClass, mean_mm: float, solid_mm: float, count: int, category: str
) -> None:
    for context in (ALL_KNOWN, HIGH):  # their rows are the same at any risk
        found = assess(scan(*[nodule(mean_mm, kind, solid_mm)] * count, context=context))
        assert (found.category, found.possible) == (category, (category,))


@pytest.mark.parametrize(
    ("context", "spiculated", "risks"),
    [
        (ALL_KNOWN, False, {"low"}),
        (ALL_KNOWN, True, {"high"}),
        (ALL_KNOWN, None, {"low", "high"}),
        (replace(ALL_KNOWN, smoking="former"), False, {"high"}),
        (replace(ALL_KNOWN, family_history=True), False, {"high"}),
        (replace(ALL_KNOWN, emphysema=True), None, {"high"}),
        (replace(ALL_KNOWN, smoking=None), False, {"low", "high"}),
        (Context(), False, {"low", "high"}),
    ],
)
def test_risk_is_high_by_one_factor_and_low_by_none(context: Context, spiculated: bool | None, risks: set[str]) -> None:
    found = assess(scan(nodule(7.0, spiculated=spiculated), context=context))
    assert {each.rsplit("-", 1)[1] for each in found.possible} == risks
    assert (len(risks) == 2) == bool(found.nodules[0].missing)


@pytest.mark.parametrize(
    "context",
    [
        replace(ALL_KNOWN, purpose="screening"),
        replace(ALL_KNOWN, age_years=34),
        replace(ALL_KNOWN, known_cancer="past"),
        replace(ALL_KNOWN, known_cancer="recent"),
        replace(ALL_KNOWN, immunosuppressed=True),
    ],
)
def test_whom_it_leaves_out(context: Context) -> None:
    found = assess(scan(nodule(7.0), context=context))
    assert (found.applies, found.category) == (False, None)


def test_it_is_for_adults_from_35_years_on() -> None:
    assert assess(scan(nodule(7.0), context=replace(ALL_KNOWN, age_years=35))).applies


def test_the_interval_allows_neighbouring_rows() -> None:
    found = assess(scan(nodule(8.2, mean_mm=Measured(8.2, 7.6, 8.6))))
    assert found.possible == ("solid-single-6-8-low", "solid-single->8-low")


@pytest.mark.parametrize(
    ("others", "whole", "known", "numbers"),
    [
        ((), True, None, {"single"}),
        ((nodule(5.0, counts=False),), True, None, {"single", "multiple"}),
        ((), False, None, {"single", "multiple"}),
        ((), False, 1, {"single"}),
        ((), False, 3, {"multiple"}),
    ],
)
def test_how_many_there_are(others: tuple[Nodule, ...], whole: bool, known: int | None, numbers: set[str]) -> None:
    case = scan(nodule(7.0), *others, context=replace(ALL_KNOWN, nodules=known), whole_lungs=whole)
    found = assess(case).nodules[0]
    assert {each.split("-")[1] for each in found.possible} == numbers
    assert ("number_of_nodules" in found.missing) == (len(numbers) == 2)


@pytest.mark.parametrize(
    ("before", "now", "days", "category"),
    [
        (nodule(8.0, "non_solid"), nodule(9.9, "non_solid"), 365, "non-solid-single->=6"),
        (nodule(8.0, "non_solid"), nodule(10.0, "non_solid"), 365, "non-solid-single-grew"),
        (nodule(8.0, "non_solid"), nodule(8.0, "part_solid", 2.0), 365, "non-solid-single-grew"),
        (nodule(8.0, "part_solid", 2.0), nodule(8.0, "part_solid", 2.0), 365, "part-solid-single->=6-solid-<6"),
        (nodule(9.0, "part_solid", 6.0), nodule(9.0, "part_solid", 6.0), 89, "part-solid-single->=6-solid->=6"),
        (nodule(9.0, "part_solid", 6.0), nodule(9.0, "part_solid", 6.0), 90, "part-solid-single-stays-solid->=6"),
        (nodule(4.0, "non_solid"), nodule(4.0, "non_solid"), 365, "non-solid-single-<6"),
        (nodule(5.0), nodule(7.0), 365, "solid-single-6-8-low"),
    ],
)
def test_rows_of_a_nodule_that_is_followed(before: Nodule, now: Nodule, days: int, category: str) -> None:
    found = assess(followed(now, before, days=days))
    assert (found.category, found.possible) == (category, (category,))
    assert "follow_up_step" in found.missing
    assert "prior_ct" not in found.missing


def test_growth_that_the_table_does_not_know_is_left_to_a_reader() -> None:
    def missing(now: Nodule, before: Nodule | None, days: int | None = 100) -> tuple[str, ...]:
        return assess(followed(now, before, days=days)).nodules[0].missing

    assert missing(nodule(7.0), nodule(5.0)) == ("growth",)
    assert missing(nodule(6.9), nodule(5.0)) == ()
    assert missing(nodule(6.9), nodule(5.0), None) == ("interval",)
    assert missing(nodule(7.0), None) == ("new_nodule",)
    assert assess(scan(nodule(7.0), earlier_slice_mm=1.0)).nodules[0].missing == ("not_compared",)


def test_rows_of_one_rank_stay_in_the_order_of_their_likelihood() -> None:
    """Whatever seed strings are hashed with: the bytes of an answer stand in its receipt."""
    doubtful = nodule(4.0, classes=("part_solid", "non_solid"), solid_mm=Measured(1.0, 1.0, 1.0))
    found = assess(scan(doubtful))
    assert found.possible == found.nodules[0].possible == ("part-solid-single-<6", "non-solid-single-<6")
