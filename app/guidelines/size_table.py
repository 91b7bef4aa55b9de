"""A table of size by density, as several guidelines have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from app.guidelines.assessment import Row
from app.inference.prediction import AttenuationClass

Steps: TypeAlias = tuple[tuple[float, Row], ...]  # (from mm, row), the lowest first


@dataclass(frozen=True, slots=True)
class SizeTable:
    """Rows by mean diameter; of a part-solid nodule by that of its solid part, from `part_solid_from_mm` in all."""

    calcified: Row
    solid: Steps
    non_solid: Steps
    part_solid: Steps
    part_solid_from_mm: float
    small_part_solid: Row

    def row_of(self, kind: AttenuationClass, mean_mm: float, solid_mm: float) -> Row:
        """The row of a nodule: the last one whose border it reaches."""
        if kind == "calcified":
            return self.calcified
        if kind == "solid":
            return _reached(self.solid, mean_mm)
        if kind == "non_solid":
            return _reached(self.non_solid, mean_mm)
        return self.small_part_solid if mean_mm < self.part_solid_from_mm else _reached(self.part_solid, solid_mm)


def _reached(steps: Steps, mm: float) -> Row:
    return [row for border, row in steps if mm >= border][-1]
