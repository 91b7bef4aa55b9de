"""PNG, JPEG and TIFF to grey values as they are stored. All that a stranger's picture is given to is here: Pillow
for the header, OpenCV and imagecodecs for the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION as PHOTOMETRIC

from app.errors import (
    FrameOutOfRange,
    FrameRequired,
    ImageSizeOutOfRange,
    InputError,
    InputTooLarge,
    MalformedPicture,
    UnsupportedPixelFormat,
)
from app.imaging.codecs import too_many_scans
from app.imaging.image_size import MAX_SIDE_PX, check_size
from app.imaging.picture_parts import PictureKind, check_parts, without_metadata

GreyValues = NDArray[np.uint8] | NDArray[np.uint16]

VALUE_BITS: Final = (8, 16)
PNG_BIT_DEPTH_AT: Final = 24  # signature, chunk length, IHDR, width, height (PNG 11.2.1)
WHITE_IS_ZERO: Final = 0  # TIFF 6.0, PhotometricInterpretation
ORIENTATION: Final = 274  # TIFF 6.0
TOP_LEFT: Final = 1
TURNED: Final = range(2, 9)  # other values mean nothing (EXIF 2.32, 4.6.4)
# Where a PNG may say how it is turned: PNG 11.3.4.5, and the texts that ImageMagick and Adobe's programs write.
PNG_TURNED_BY: Final = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
EXPORT: Final = "Export the slice as grey PNG or TIFF, or send DICOM."
TURN: Final = "Save it as it is shown, without EXIF orientation, or send DICOM."
MAX_PAGES: Final = 2000  # a long series; finding a page takes time for each before it
VALUE_MAX: Final = {"uint8": 255, "uint16": 65535}
MAX_CHANNEL_DIFFERENCE: Final = 3  # grey values stored as colour JPEG come back this close together


@dataclass(frozen=True, slots=True, eq=False)
class GreyPicture:
    """Values (rows, columns) of 8 or 16 bits, of the 1-based `page` of `pages`."""

    values: GreyValues
    pages: int
    page: int

    @property
    def value_max(self) -> int:
        """The highest that the type holds."""
        return VALUE_MAX[self.values.dtype.name]


def read_grey(data: bytes, kind: PictureKind, asked: int | None) -> GreyPicture:
    """The page `asked` for of a picture, or its only one; its metadata are dropped.

    Raises MalformedPicture, UnsupportedPixelFormat, ImageSizeOutOfRange, FrameRequired, FrameOutOfRange or
    InputTooLarge.
    """
    check_parts(data, kind)
    pages, page = _check_header(data, kind, asked)
    return GreyPicture(_as_grey(_decode(without_metadata(data, kind), kind, page)), pages, page)


def _check_header(data: bytes, kind: PictureKind, asked: int | None) -> tuple[int, int]:
    """Number of pages and the chosen one, after testing the size and the bits that its header claims."""
    try:
        with Image.open(BytesIO(data), formats=(kind.upper(),)) as picture:
            pages = _count_pages(picture)
            page = _chosen_page(pages, asked)
            picture.seek(page - 1)
            (width, height), bits, turned = picture.size, _bits(picture, data), _is_turned(picture, data)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageSizeOutOfRange(
            found="a picture of more than ten million pixels",
            expected=f"at most {MAX_SIDE_PX} on each side",
            remedy="Send one whole CT slice at its own matrix size.",
        ) from None
    # Pillow's plug-ins raise whatever they meet in damaged bytes.
    except Exception as error:
        raise _broken(kind, type(error).__name__) from None
    if turned:
        raise _unsupported(f"a {kind} to be turned or mirrored for display", TURN)
    check_size(height, width)
    if bits not in VALUE_BITS:
        raise _unsupported(f"{bits} bits for each value")
    if kind == "jpeg" and too_many_scans(data):
        raise _broken(kind, "too many scans")
    return pages, page


def _count_pages(picture: Image.Image) -> int:
    if not isinstance(picture, TiffImageFile):
        return 1
    # Not by n_frames: it walks the whole chain of pages, and a file may hold a million empty ones.
    for page in range(1, MAX_PAGES + 1):
        try:
            picture.seek(page)
        except EOFError:
            return page
    raise InputTooLarge(
        found=f"more than {MAX_PAGES} pages", expected=f"at most {MAX_PAGES}", remedy="Send the page to be judged."
    )


def _bits(picture: Image.Image, data: bytes) -> int:
    """Bits of each value as stored: decoders widen 1, 2 and 4 bits to 8 in silence."""
    if isinstance(picture, PngImageFile):
        return data[PNG_BIT_DEPTH_AT]
    if not isinstance(picture, TiffImageFile):
        return 8
    if picture.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        raise _unsupported("a TIFF in which white is 0")
    return int(max(picture.tag_v2.get(BITSPERSAMPLE, (1,))))


def _is_turned(picture: Image.Image, data: bytes) -> bool:
    """Whether viewers turn or mirror it: then a `roi` read off the screen is not that of the pixels as they were sent.

    OpenCV turns a TIFF whatever it is told.
    """
    if isinstance(picture, TiffImageFile):
        return bool(picture.tag_v2.get(ORIENTATION, TOP_LEFT) != TOP_LEFT)
    # Pillow decodes a PNG to look for what is not there.
    if isinstance(picture, PngImageFile) and not any(mark in data for mark in PNG_TURNED_BY):
        return False
    try:
        return picture.getexif().get(ORIENTATION, TOP_LEFT) in TURNED
    # Pillow raises whatever it meets in damaged EXIF, which viewers pass over.
    except Exception:
        return False


def _chosen_page(pages: int, asked: int | None) -> int:
    if asked is None and pages > 1:
        raise FrameRequired(
            found=f"{pages} pages and no `frame`", expected=f"`frame` from 1 to {pages}", remedy="Say which page."
        )
    if asked is not None and not 1 <= asked <= pages:
        raise FrameOutOfRange(found=f"frame {asked} of {pages}", expected=f"1 to {pages}", remedy="Count from 1.")
    return asked or 1


def _decode(data: bytes, kind: PictureKind, page: int) -> NDArray[np.generic]:
    """(rows, columns) or (rows, columns, channels), as stored."""
    buffer = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    picture: NDArray[np.generic] | None
    try:
        if kind == "png":
            # Not OpenCV: it takes the 2 GB that a chunk may claim before it looks for them.
            picture = imagecodecs.png_decode(data)
        elif page == 1:
            picture = cv2.imdecode(buffer, flags)
        else:
            _, pictures = cv2.imdecodemulti(buffer, flags, range=(page - 1, page))
            picture = pictures[0] if pictures else None
    # Each decoder has errors of its own for damaged bytes; only decoders run inside this block. Which one it is, is not
    # said: a decoder that gives no reason reads one from memory it never wrote, and fails on that now and then.
    except Exception:
        picture = None
    if picture is None:
        raise _broken(kind, "pixels that do not decode")
    check_size(*picture.shape[:2])
    return picture


def _as_grey(values: NDArray[np.generic]) -> GreyValues:
    """(rows, columns); colour only if its channels agree."""
    vmax = VALUE_MAX.get(values.dtype.name)
    if vmax is None:
        raise _unsupported(f"{values.dtype} values")
    if values.ndim == 2:
        return values  # type: ignore[return-value]  # the table holds these two types
    channels = values.astype(np.int32)
    if values.shape[2] in (2, 4):
        if channels[..., -1].min() != vmax:
            raise _unsupported("a picture with transparency")
        channels = channels[..., :-1]
    if np.ptp(channels, axis=2).max() > MAX_CHANNEL_DIFFERENCE:
        raise _unsupported("a colour picture")
    # Green, of three, is what JPEG keeps most exactly.
    return channels[..., channels.shape[2] // 2].astype(values.dtype)


def _broken(kind: str, found: str) -> MalformedPicture:
    return MalformedPicture(
        found=f"a {kind} with {found}",
        expected="a complete PNG, JPEG or TIFF picture",
        remedy="The file may be cut short or damaged; export it again.",
    )


def _unsupported(found: str, remedy: str = EXPORT) -> UnsupportedPixelFormat:
    return UnsupportedPixelFormat(found=found, expected="8- or 16-bit grey values", remedy=remedy)
