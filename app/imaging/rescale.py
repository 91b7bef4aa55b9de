"""From stored values to Hounsfield units: Rescale Slope, Rescale Intercept and Rescale Type (PS3.3 C.11.1)."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from app.errors import NotHounsfield
from app.imaging.ct import QualityNote
from app.imaging.frame_groups import FrameGroups

HOUNSFIELD_TYPES: Final = (None, "HU")
UNSPECIFIED: Final = "US"  # written by some scanners
HOUNSFIELD: Final = "hounsfield"
MIN_LIKENESS: Final = 0.8  # of a name to HOUNSFIELD: Houndsfield has 0.95, Hunsfeld 0.89, Household 0.74
UNIT: Final = re.compile(r"\W+|_|units?\W*$")
MAX_ABS_SLOPE: Final = 1000.0  # 8-bit derivations of the full CT range use 16 to 32
MAX_ABS_INTERCEPT: Final = 100_000.0  # beyond any 16-bit offset, and far from float32's end


def rescale(groups: FrameGroups) -> tuple[float, float, tuple[QualityNote, ...]]:
    """Rescale Slope, Rescale Intercept and what was assumed of their unit; raises NotHounsfield."""
    slope, intercept = _first(groups, "RescaleSlope"), _first(groups, "RescaleIntercept")
    place = next(groups.holding("RescaleType"), None)
    unit = place.text("RescaleType") if place is not None else None
    in_range = 0 < abs(slope or 0.0) <= MAX_ABS_SLOPE and abs(intercept or 0.0) <= MAX_ABS_INTERCEPT
    assumed = None if unit in HOUNSFIELD_TYPES else _assumption(unit or "")
    if slope is None or intercept is None or not in_range or (assumed is None and unit not in HOUNSFIELD_TYPES):
        raise NotHounsfield(
            found="pixel values without a usable Rescale Slope and Intercept to Hounsfield units",
            expected="Rescale Slope and Rescale Intercept with Rescale Type HU or none",
            remedy="Send the original CT image; a derived one may have lost its scale.",
        )
    if assumed is None:
        return slope, intercept, ()
    return slope, intercept, (QualityNote("hounsfield_assumed", "warning", assumed),)


def _assumption(unit: str) -> str | None:
    """What is said of a Rescale Type that is not to the letter HU (PS3.3 C.11.1.1.2) but can be; None for others."""
    if unit == UNSPECIFIED:
        return "Rescale Type is unspecified (US); Hounsfield units were assumed."
    name = UNIT.sub("", unit.casefold())
    if name == "hu" or SequenceMatcher(None, name, HOUNSFIELD).ratio() >= MIN_LIKENESS:
        return "Rescale Type does not read HU as the standard writes it; it was taken as Hounsfield units."
    return None


def _first(groups: FrameGroups, keyword: str) -> float | None:
    numbers = groups.numbers(keyword, 1)
    return numbers[0] if numbers else None
