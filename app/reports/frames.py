"""The frames of a stored result: their pixels as they stand there, and a picture of them for who reads no DICOM."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from app.errors import UnknownResult
from app.reports.transfer_syntax import uncompressed

PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
MAX_GREY: Final = 255
JPEG_QUALITY: Final = 90  # of 100
PictureKind: TypeAlias = Literal["jpeg", "png"]


class Frames:
    """The frames of one DICOM file; `len()` is their number, 0 for an object without pixels."""

    def __init__(self, content: bytes) -> None:
        self._dataset: Dataset = pydicom.dcmread(BytesIO(uncompressed(content)))
        has_pixels = any(keyword in self._dataset for keyword in PIXELS)
        self._count = int(self._dataset.get("NumberOfFrames") or 1) if has_pixels else 0

    def __len__(self) -> int:
        return self._count

    def content(self, number: int) -> bytes:
        """The pixels of the 1-based frame as octets in little endian, lines from the top, single bits packed from the
        lowest (PS3.5 8.1.1, 8.2); raises UnknownResult."""
        pixels = self._pixels(number)
        if self._dataset.get("BitsAllocated") == 1:
            return np.packbits(pixels, axis=None, bitorder="little").tobytes()
        return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()

    def picture(self, number: int, kind: PictureKind, viewport: tuple[int, int] | None = None) -> bytes:
        """The 1-based frame as a picture, made to fit into `viewport` (columns, rows); raises UnknownResult.

        Colours are as stored; anything else is spread from the lowest value, or 0, to the highest, black to white.
        """
        image = Image.fromarray(self._rgb_or_grey(number))
        if viewport is not None:
            image = ImageOps.contain(image, viewport)
        written = BytesIO()
        image.save(written, kind, quality=JPEG_QUALITY)
        return written.getvalue()

    def _rgb_or_grey(self, number: int) -> NDArray[np.uint8]:
        pixels = self._pixels(number)
        if pixels.ndim == 3:
            return pixels.astype(np.uint8)
        low, high = min(0.0, float(pixels.min())), float(pixels.max())
        scale = MAX_GREY / (high - low) if high > low else 0.0
        return ((pixels - low) * scale).round().astype(np.uint8)

    def _pixels(self, number: int) -> NDArray[Any]:
        if not 1 <= number <= self._count:
            raise UnknownResult(
                found=f"a frame number that is not among the {self._count} of the object",
                expected=f"1 to {self._count}" if self._count else "an object with pixels",
                remedy="Ask for another frame; a structured report is retrieved as a file.",
            )
        pixels: NDArray[Any] = pixel_array(self._dataset, index=number - 1, raw=True)
        return pixels
