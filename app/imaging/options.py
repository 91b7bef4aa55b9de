"""What a caller may state about an image that does not say it itself."""

from __future__ import annotations

from dataclasses import dataclass

from app.imaging.ct import MAX_SPACING_MM, MIN_SPACING_MM


@dataclass(frozen=True, slots=True)
class Window:
    """The window an 8- or 16-bit picture was written with: HU = centre - width/2 + width * v / vmax."""

    centre_hu: float
    width_hu: float

    def __post_init__(self) -> None:
        if not (1 <= self.width_hu <= 100_000 and abs(self.centre_hu) <= 100_000):
            raise ValueError("a window needs a width of at least 1 HU")

    @property
    def low_hu(self) -> float:
        """HU of the darkest value."""
        return self.centre_hu - self.width_hu / 2

    @property
    def high_hu(self) -> float:
        """HU of the brightest value."""
        return self.centre_hu + self.width_hu / 2


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`frame` is 1-based; `pixel_spacing_mm` is (between rows, between columns); `window` is for pictures."""

    frame: int | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        spacing = self.pixel_spacing_mm
        if spacing is not None and not all(MIN_SPACING_MM <= s <= MAX_SPACING_MM for s in spacing):
            raise ValueError(f"pixel spacing must be {MIN_SPACING_MM} to {MAX_SPACING_MM} mm")
