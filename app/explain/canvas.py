"""Lines and words on an RGB picture, uint8 (rows, columns, 3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.explain.palette import CASING, OUTLINE, Colour

Rgb = NDArray[np.uint8]
Points = NDArray[np.float64]
ToPicture = Callable[[Points], Points]  # (N, 2) (column, row) of an image to those of a picture of it

FONT_FILE: Final = "NotoSansCJKsc-Regular.subset.ttf"  # docs/decisions/0030: only the characters that are written
SUBPIXEL_BITS: Final = 4  # of OpenCV's fixed-point coordinates: 1/16 pixel
LINE_PX: Final = 1
CASING_PX: Final = 3
MIN_WIDTH_PX: Final = 512  # of a picture: a narrower one leaves no room for words
TEXT_PX: Final = 13  # height of the words on the narrowest picture
# A Chinese character with the punctuation behind it, which never begins a line, or a word with the space behind it.
UNBREAKABLE: Final = re.compile(r"(?:[\u2e80-\uffff]|[^\s\u2e80-\uffff]+)[，。：；！）、]*\s*")
PNG_OPTIONS: Final = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)


@dataclass(frozen=True, slots=True)
class Magnification:
    """A picture whose every `factor` x `factor` pixels show one pixel of the image."""

    factor: int

    def to_picture(self, points_px: Points) -> Points:
        """(N, 2) (column, row) of the image to those of the picture; both have 0 at the centre of the first pixel."""
        return (points_px + 0.5) * self.factor - 0.5

    def to_image(self, points: Points) -> Points:
        """(N, 2) (column, row) of the picture to those of the image."""
        return (points + 0.5) / self.factor - 0.5

    def enlarge(self, rgb: Rgb) -> Rgb:
        """The image's pixels, repeated."""
        return np.asarray(rgb.repeat(self.factor, axis=0).repeat(self.factor, axis=1))


def draw_line(
    rgb: Rgb, points: Points, *, closed: bool = False, width_px: int = LINE_PX, colour: Colour = OUTLINE
) -> None:
    """A light line with a dark casing through (N, 2) (column, row) points of the picture, in place."""
    fixed = [np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)]
    for each, thickness in ((CASING, width_px + CASING_PX - LINE_PX), (colour, width_px)):
        cv2.polylines(rgb, fixed, closed, each, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_text(
    rgb: Rgb, text: str, at: tuple[float, float], size_px: int, colour: Colour = OUTLINE, *, cased: bool = True
) -> None:
    """Words with a dark casing, their left top corner at a (column, row), moved to lie on the picture; in place. On
    black they need none, and are drawn in a quarter of the time."""
    font, casing = load_font(size_px), _casing(size_px) if cased else 0
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text, stroke_width=casing))
    rows, columns = rgb.shape[:2]
    column = round(min(max(0.0, at[0]), max(0.0, columns - (right - left))))
    row = round(min(max(0.0, at[1]), max(0.0, rows - (bottom - top))))
    # Of the picture only what the words cover: it may have tens of megabytes.
    covered = rgb[row : row + bottom - top + 1, column : column + right - left + 1]
    words = Image.fromarray(covered)
    ImageDraw.Draw(words).text((-left, -top), text, fill=colour, font=font, stroke_width=casing, stroke_fill=CASING)
    covered[...] = np.asarray(words)


def text_size(rgb: Rgb) -> int:
    """Height in pixels of the words on a picture: it grows with the picture, but more slowly."""
    return max(TEXT_PX, round(TEXT_PX * float(np.sqrt(rgb.shape[1] / MIN_WIDTH_PX))))


def text_width(text: str, size_px: int) -> float:
    """Width in pixels of words drawn with `draw_text`, their casing included."""
    return load_font(size_px).getlength(text) + 2 * _casing(size_px)


def wrapped(text: str, size_px: int, width_px: float) -> list[str]:
    """The words in lines that are no wider, unless one word is."""
    lines = [""]
    for part in UNBREAKABLE.findall(text):
        if lines[-1] and text_width((lines[-1] + part).rstrip(), size_px) > width_px:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def to_png(rgb: Rgb) -> bytes:
    """A picture as a PNG file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), PNG_OPTIONS)
    return encoded.tobytes()


@cache
def load_font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font at a height in pixels."""
    return ImageFont.truetype(BytesIO(font_bytes()), size_px)


@cache
def font_bytes() -> bytes:
    """The font as a TrueType file, read once."""
    return resources.files("app.explain").joinpath(FONT_FILE).read_bytes()


def _casing(size_px: int) -> int:
    return max(1, size_px // 8)
