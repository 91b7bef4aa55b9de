"""Cases that cannot be, and tables asked for every row that an interval touches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.guidelines import c_lung_rads, lung_rads
from app.guidelines.assessment import MISSING, Assessment
from app.guidelines.case import Case, Context
from app.guidelines.register import GUIDELINES
from app.inference.prediction import AttenuationClass, Measured
from tests.guidelines.cases import exactly, nodule, scan

KINDS: tuple[AttenuationClass, ...] = ("solid", "part_solid", "non_solid")


@pytest.mark.parametrize("value", [-1, 121])
def test_a_context_that_cannot_be(value: int) -> None:
    with pytest.raises(ValueError, match="age"):
        Context(age_years=value)
    with pytest.raises(ValueError, match="nodules"):
        Context(nodules=value)
    with pytest.raises(ValueError, match="class"):
        nodule(8.0, classes=())


@pytest.mark.parametrize("assess", [lung_rads.assess, c_lung_rads.assess])
@settings(derandomize=True, deadline=None)
@given(ends=st.tuples(*[st.floats(0.5, 45)] * 3), solid=st.tuples(*[st.floats(0, 45)] * 3), kind=st.sampled_from(KINDS))
def test_whatever_a_measurement_may_be_its_category_is_possible(
    assess: Callable[[Case], Assessment],
    ends: tuple[float, ...],
    solid: tuple[float, ...],
    kind: AttenuationClass,
) -> None:
    low, value, high = sorted(ends)
    least, part, most = sorted(min(each, low) for each in solid)
    uncertain = nodule(value, kind, mean_mm=Measured(value, low, high))
    if kind == "part_solid":
        uncertain = nodule(value, kind, mean_mm=Measured(value, low, high), solid_mm=Measured(part, least, most))
    possible = assess(scan(uncertain)).possible
    for size in (low, (low + value) / 2, value, (value + high) / 2, high):
        for inner in (least, part, most):
            certain = nodule(size, kind, solid_mm=exactly(inner) if kind == "part_solid" else None)
            assert assess(scan(certain)).category in possible


@pytest.mark.parametrize("name", GUIDELINES)
def test_every_guideline_answers_with_nothing_known_and_nothing_found(name: str) -> None:
    for case in (scan(context=Context()), scan(nodule(9.0), context=Context(), whole_lungs=False, slice_mm=None)):
        found = GUIDELINES[name](case)
        assert found.guideline == name
        assert found.source
        assert set(found.missing) <= set(MISSING)
