"""Every row of the first step of C-Lung-RADS (table 1), with its borders on both sides."""

from __future__ import annotations

import pytest

from app.guidelines.c_lung_rads import assess
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import nodule, scan


@pytest.mark.parametrize(
    ("kind", "mean_mm", "solid_mm", "category"),
    [
        ("calcified", 12.0, 0, "0"),
        ("solid", 5.99, 0, "1"),
        ("solid", 6.0, 0, "2"),
        ("solid", 9.99, 0, "2"),
        ("solid", 10.0, 0, "3"),
        ("solid", 17.99, 0, "3"),
        ("solid", 18.0, 0, "4"),
        ("part_solid", 5.99, 5.0, "1"),
        ("part_solid", 6.0, 5.99, "2"),
        ("part_solid", 12.0, 6.0, "3"),
        ("part_solid", 12.0, 9.99, "3"),
        ("part_solid", 12.0, 10.0, "4"),
        ("non_solid", 5.99, 0, "1"),
        ("non_solid", 6.0, 0, "2"),
        ("non_solid", 19.99, 0, "2"),
        ("non_solid", 20.0, 0, "3"),
        ("non_solid", 60.0, 0, "3"),
    ],
)
def test_rows_of_the_table(kind: AttenuationClass, mean_mm: float, solid_mm: float, category: str) -> None:
    found = assess(scan(nodule(mean_mm, kind, solid_mm)))
    assert (found.category, found.possible) == (category, (category,))


def test_the_learned_steps_are_not_assessed_and_intervals_are() -> None:
    found = assess(scan(nodule(9.8, mean_mm=Measured(9.8, 9.0, 10.4))))
    assert (found.category, found.possible) == ("2", ("2", "3"))
    assert "later_steps" in found.missing
    assert assess(scan()).category == "0"
    assert assess(scan(nodule(9.0), whole_lungs=False)).category is None
