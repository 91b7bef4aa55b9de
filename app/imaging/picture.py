"""PNG, JPEG and TIFF pictures of a CT slice to `CTSlice`. Pictures carry no HU scale: window and spacing come
from the caller, or are assumed and said so."""

from __future__ import annotations

from typing import Final

import numpy as np

from app.imaging.ct import CTSlice, QualityNote, SliceSource
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.image_size import check_field
from app.imaging.options import ReadOptions, Window
from app.imaging.picture_parts import PictureKind

DEFAULT_WINDOW: Final = Window(-600, 1500)  # the usual lung window
ASSUMED_FIELD_OF_VIEW_MM: Final = 360.0  # a usual adult chest reconstruction: 0.70 mm at 512 pixels
LUNG_WINDOW_LOW_HU: Final = -900.0  # lung must not be black ...
LUNG_WINDOW_HIGH_HU: Final = 0.0  # ... nor soft tissue white


def read_picture(data: bytes, kind: PictureKind, options: ReadOptions, decoder: Decoder = IN_PROCESS) -> CTSlice:
    """Read one 8- or 16-bit grey picture; raises MalformedPicture, UnsupportedPixelFormat, ImageSizeOutOfRange,
    InputTooLarge for one of too many parts, and what `decoder` raises."""
    grey = decoder.picture(data, kind, options.frame)
    rows, columns = grey.values.shape
    spacing_mm = options.pixel_spacing_mm or _assumed_spacing(rows, columns)
    check_field(rows, columns, spacing_mm)
    window = options.window or DEFAULT_WINDOW
    hu = grey.values.astype(np.float32)
    hu *= np.float32(window.width_hu / grey.value_max)
    hu += np.float32(window.low_hu)
    return CTSlice(
        hu=hu,
        spacing_mm=spacing_mm,
        source=SliceSource(kind=kind, rows=rows, columns=columns, frame=grey.page if grey.pages > 1 else None),
        notes=_notes(options, window, _assumed_spacing(rows, columns)[0]),
    )


def _assumed_spacing(rows: int, columns: int) -> tuple[float, float]:
    # A cropped or enlarged picture is not a whole slice; the type's bounds still hold for every size accepted.
    spacing = round(min(max(ASSUMED_FIELD_OF_VIEW_MM / max(rows, columns), 0.4), 2.0), 4)
    return (spacing, spacing)


def _notes(options: ReadOptions, window: Window, assumed_mm: float) -> tuple[QualityNote, ...]:
    notes = [QualityNote("orientation_assumed", "info", "Pictures state no orientation; it was taken as axial.")]
    if options.pixel_spacing_mm is None:
        message = f"Pictures state no pixel spacing; {assumed_mm} mm was assumed. Send pixel_spacing_mm."
        notes.append(QualityNote("spacing_assumed", "warning", message))
    if options.window is None:
        message = f"Pictures state no HU scale; {window.centre_hu:g},{window.width_hu:g} was assumed. Send window."
        notes.append(QualityNote("window_assumed", "warning", message))
    if window.low_hu > LUNG_WINDOW_LOW_HU or window.high_hu < LUNG_WINDOW_HIGH_HU:
        message = f"The window spans {window.low_hu:g} to {window.high_hu:g} HU and cuts off lung or soft tissue."
        notes.append(QualityNote("window_clips_lung", "warning", message))
    return tuple(notes)
