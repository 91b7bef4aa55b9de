"""Between which sizes an image is read."""

from __future__ import annotations

from typing import Final

from app.errors import ImageSizeOutOfRange

MIN_SIDE_PX: Final = 32  # smaller than one patch of any model
MAX_SIDE_PX: Final = 2048  # ultra-high-resolution CT; nothing in clinical use is larger
MAX_FIELD_MM: Final = 1600.0  # 512 pixels of the largest spacing; the widest bore reconstructs 850


def check_size(rows: int, columns: int) -> None:
    """Raise ImageSizeOutOfRange unless both sides are MIN_SIDE_PX to MAX_SIDE_PX. Call before decoding."""
    if not (MIN_SIDE_PX <= rows <= MAX_SIDE_PX and MIN_SIDE_PX <= columns <= MAX_SIDE_PX):
        raise ImageSizeOutOfRange(
            found=f"{columns} columns x {rows} rows",
            expected=f"{MIN_SIDE_PX} to {MAX_SIDE_PX} on each side",
            remedy="Send one whole CT slice at its own matrix size.",
        )


def check_field(rows: int, columns: int, spacing_mm: tuple[float, float]) -> None:
    """Raise ImageSizeOutOfRange when the image is wider than MAX_FIELD_MM: work at a fixed spacing grows with it."""
    height_mm, width_mm = rows * spacing_mm[0], columns * spacing_mm[1]
    if max(height_mm, width_mm) > MAX_FIELD_MM:
        raise ImageSizeOutOfRange(
            found=f"an image of {width_mm:.0f} mm x {height_mm:.0f} mm",
            expected=f"at most {MAX_FIELD_MM:.0f} mm on each side",
            remedy="Check the pixel spacing: it is in millimetres.",
        )
