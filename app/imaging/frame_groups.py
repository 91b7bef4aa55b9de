"""Where the attributes of one frame of a multi-frame image stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.imaging.header import Header


@dataclass(frozen=True, slots=True)
class FrameGroups:
    """Where a frame's attributes may stand: its own functional groups, the shared ones, the data set (C.7.6.16)."""

    places: tuple[Header, ...]

    @classmethod
    def of(cls, header: Header, frame: int) -> FrameGroups:
        """The places for a 1-based frame, nearest first."""
        own = header.item("PerFrameFunctionalGroupsSequence", frame - 1)
        shared = header.item("SharedFunctionalGroupsSequence")
        macros = (
            "PixelMeasuresSequence",
            "PlaneOrientationSequence",
            "PlanePositionSequence",
            "PixelValueTransformationSequence",
            "CTImageFrameTypeSequence",
            "CTReconstructionSequence",
        )
        found = (group.item(macro) for group in (own, shared) if group is not None for macro in macros)
        return cls((*(item for item in found if item is not None), header))

    def holding(self, keyword: str) -> Iterator[Header]:
        """The places that hold `keyword`, nearest to the frame first."""
        return (place for place in self.places if keyword in place)

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """`count` numbers from the nearest place, or None; raises MalformedDicom for any other value."""
        place = next(self.holding(keyword), None)
        return None if place is None else place.numbers(keyword, count)
