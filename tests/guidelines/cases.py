"""Nodules and cases for the tests of guidelines. No patient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from app.guidelines.case import Case, Context, Earlier, Nodule
from app.inference.prediction import AttenuationClass, Measured

ALL_KNOWN: Final = Context(
    age_years=62,
    sex="male",
    smoking="never",
    family_history=False,
    known_cancer="none",
    emphysema=False,
    immunosuppressed=False,
)


def exactly(value: float) -> Measured:
    return Measured(value, value, value)


def nodule(mm: float, kind: AttenuationClass = "solid", solid: float = 0.0, /, **others: Any) -> Nodule:
    """One without doubts: a circle of that diameter, not spiculated, in no upper lobe."""
    given: dict[str, Any] = {
        "id": 1,
        "mean_mm": exactly(mm),
        "longest_mm": exactly(mm),
        "volume_mm3": None,
        "classes": (kind,),
        "solid_mm": exactly(solid) if kind == "part_solid" else None,
        "upper_lobe": False,
        "spiculated": False,
    }
    return Nodule(**(given | others))


def scan(*nodules: Nodule, context: Context = ALL_KNOWN, **others: Any) -> Case:
    """A series with whole lungs; nodules numbered from 1."""
    numbered = tuple(replace(each, id=n) for n, each in enumerate(nodules, start=1))
    given: dict[str, Any] = {"nodules": numbered, "whole_lungs": True, "slice_mm": 2.5, "context": context}
    return Case(**(given | others))


def followed(now: Nodule, before: Nodule | None, *, days: int | None = 100, **others: Any) -> Case:
    """A scan with one nodule, and what it was on an earlier one: None where it is new. The ratio of the volumes is that
    of what both have."""
    ratio = None
    if before is not None and before.volume_mm3 is not None and now.volume_mm3 is not None:
        ratio = exactly(now.volume_mm3.value / before.volume_mm3.value)
    earlier = Earlier(days, before, ratio)
    given: dict[str, Any] = {"earlier_slice_mm": 1.0, **others}
    return scan(replace(now, earlier=earlier), **given)
