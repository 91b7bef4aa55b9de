"""Lines and words on an RGB picture, uint8 (rows, columns, 3), that shows an image magnified by a whole factor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.explain.palette import CASING, OUTLINE

Rgb = NDArray[np.uint8]
Points = NDArray[np.float64]

FONT_FILE: Final = "NotoSansSC-Medium.subset.ttf"  # docs/decisions/0009: only the characters that are drawn
SUBPIXEL_BITS: Final = 4  # of OpenCV's fixed-point coordinates: 1/16 pixel
LINE_PX: Final = 1
CASING_PX: Final = 3
MIN_WIDTH_PX: Final = 512  # of a picture: a narrower one leaves no room for words
TEXT_PX: Final = 13  # height of the words on the narrowest picture


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


def draw_line(rgb: Rgb, points: Points, *, closed: bool = False, width_px: int = LINE_PX) -> None:
    """A light line with a dark casing through (N, 2) (column, row) points of the picture, in place."""
    fixed = [np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)]
    for colour, thickness in ((CASING, width_px + CASING_PX - LINE_PX), (OUTLINE, width_px)):
        cv2.polylines(rgb, fixed, closed, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_text(rgb: Rgb, text: str, at: tuple[float, float], size_px: int) -> None:
    """Words with a dark casing, their left top corner at a (column, row), moved to lie on the picture; in place."""
    font, casing = load_font(size_px), _casing(size_px)
    left, top, right, bottom = font.getbbox(text, stroke_width=casing)
    rows, columns = rgb.shape[:2]
    column = min(max(0.0, at[0]), max(0.0, columns - (right - left)))
    row = min(max(0.0, at[1]), max(0.0, rows - (bottom - top)))
    picture = Image.fromarray(rgb)
    ImageDraw.Draw(picture).text(
        (column - left, row - top), text, fill=OUTLINE, font=font, stroke_width=casing, stroke_fill=CASING
    )
    rgb[...] = np.asarray(picture)


def text_size(rgb: Rgb) -> int:
    """Height in pixels of the words on a picture: it grows with the picture, but more slowly."""
    return max(TEXT_PX, round(TEXT_PX * float(np.sqrt(rgb.shape[1] / MIN_WIDTH_PX))))


def text_width(text: str, size_px: int) -> float:
    """Width in pixels of words drawn with `draw_text`."""
    left, _, right, _ = load_font(size_px).getbbox(text, stroke_width=_casing(size_px))
    return right - left


def to_png(rgb: Rgb) -> bytes:
    """A picture as a PNG file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


@cache
def load_font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font at a height in pixels."""
    return ImageFont.truetype(BytesIO(_font_bytes()), size_px)


def _casing(size_px: int) -> int:
    return max(1, size_px // 8)


def _font_bytes() -> bytes:
    return resources.files("app.explain").joinpath(FONT_FILE).read_bytes()
