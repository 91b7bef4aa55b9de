"""Every branch of BTS 2015 at a first CT, with its borders on both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.guidelines.bts import assess
from app.guidelines.case import Context
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import ALL_KNOWN, exactly, nodule, scan


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
