"""Writes the pixels of a slice or series as they were read, so that a page can show what the models see.

The first line is JSON and says how the rest is to be read; then come the slices in spatial order, their rows from top
to bottom, as int16 in HU, little-endian.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic_core import to_json
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.imaging.ct import CTSlice, Orientation, PointMm, SliceSource, SourceKind
from app.imaging.options import Window
from app.imaging.picture import DEFAULT_WINDOW
from app.imaging.pixel_stack import rounded_hu
from app.imaging.volume import CTVolume
from app.judgement.answer_types import DISCLAIMER, QualityOut

GZIP_LEVEL: Final = 1  # of noise little more is saved by higher levels, which take three times as long
GZIP: Final = 16 + zlib.MAX_WBITS


class WindowOut(TypedDict):
    """Which HU to show from black to white."""

    center_hu: float
    width_hu: float


class PixelSourceOut(TypedDict):
    """Where one slice came from."""

    sop_instance_uid: str | None
    frame: int | None


class PixelsOut(TypedDict):
    """The first line: how the pixels after it are to be read."""

    kind: SourceKind
    slices: int
    rows: int
    columns: int
    dtype: Literal["int16"]
    byte_order: Literal["little"]
    unit: Literal["HU"]
    pixel_spacing_mm: Annotated[tuple[float, float], Field(description="between rows, between columns")]
    slice_spacing_mm: Annotated[float | None, Field(description="null for a slice")]
    orientation: Annotated[
        tuple[float, ...] | None, Field(description="cosines of rows, then of columns; null where not stated")
    ]
    positions_mm: Annotated[
        list[PointMm | None], Field(description="centre of each slice's first pixel; null where not stated")
    ]
    window: WindowOut
    sources: list[PixelSourceOut]
    quality: list[QualityOut]
    disclaimer: str


def written(image: CTSlice | CTVolume, window: Window | None, *, compressed: bool) -> Generator[bytes]:
    """The first line, then each slice, in gzip (RFC 1952) if `compressed`; joined they are the whole answer.

    `window` is that with which a picture was written, None for the lung window. What is outside int16 is clipped.
    """
    plain = _plain(image, window or DEFAULT_WINDOW)
    return _compressed(plain) if compressed else plain


def _plain(image: CTSlice | CTVolume, window: Window) -> Generator[bytes]:
    yield to_json(_head(image, window)) + b"\n"
    if isinstance(image, CTSlice):
        yield rounded_hu(image.hu).astype("<i2", copy=False).tobytes()
    else:
        yield from (plane.astype("<i2", copy=False).tobytes() for plane in image.hu)


def _compressed(pieces: Iterator[bytes]) -> Generator[bytes]:
    """Each piece can be read by itself as soon as it is there."""
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP)
    for piece in pieces:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


def _head(image: CTSlice | CTVolume, window: Window) -> PixelsOut:
    if isinstance(image, CTSlice):
        sources: Sequence[SliceSource] = (image.source,)
        positions: list[PointMm | None] = [image.position_mm]
        slice_spacing_mm = None
    else:
        sources, positions, slice_spacing_mm = image.sources, [*image.positions_mm], image.spacing_mm[0]
    first = sources[0]
    return PixelsOut(
        kind=first.kind,
        slices=len(sources),
        rows=first.rows,
        columns=first.columns,
        dtype="int16",
        byte_order="little",
        unit="HU",
        pixel_spacing_mm=(image.spacing_mm[-2], image.spacing_mm[-1]),
        slice_spacing_mm=slice_spacing_mm,
        orientation=_cosines(image.orientation),
        positions_mm=positions,
        window=WindowOut(center_hu=window.centre_hu, width_hu=window.width_hu),
        sources=[PixelSourceOut(sop_instance_uid=each.sop_instance_uid, frame=each.frame) for each in sources],
        quality=[QualityOut(code=n.code, severity=n.severity, message=n.message) for n in image.notes],
        disclaimer=DISCLAIMER,
    )


def _cosines(orientation: Orientation | None) -> tuple[float, ...] | None:
    return None if orientation is None else (*orientation.row, *orientation.column)
