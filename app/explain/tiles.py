"""The tiles below a slice: what surrounds a finding, enlarged, in two windows, and where in the body it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.explain.canvas import Points, Rgb, draw_line, draw_text
from app.explain.captions import CAPTIONS, Caption
from app.explain.figures import SPACING_ASSUMED
from app.explain.marks import draw_shape, draw_sides
from app.explain.palette import FOR
from app.explain.window import LUNG, MEDIASTINUM, Window
from app.imaging.ct import AIR_HU, CTSlice, Orientation, PointPx
from app.imaging.volume import CTVolume
from app.inference.prediction import Finding, SliceRef
from app.inference.vocabulary import Language

TILES: Final = 3
MAX_SIDE_PX: Final = 512  # of a tile: more shows no more of it
MIN_SIDE_MM: Final = 50.0  # what a tile shows
SIDE_PER_AXIS: Final = 3.0  # at least so many times the long axis: a nodule is judged against what is around it
GAP_PX: Final = 4
CAPTION_FRACTION: Final = 0.05  # height of the words, of a tile's side
BAR_MM: Final = 10.0
LETTERS_AT: Final = 0.15  # of the locator's height: the line through it lies below
MAX_SECTIONS: Final = 256  # of a volume that are looked through for the locator
COLUMN_STEP, ROW_STEP = 2, 4  # of its pixels
CORONAL: Final = Window(-500.0, 900.0)  # of the mean through a body: ribs, heart and lungs are told apart


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of an image around a point, enlarged to `side_px` with pixels as wide as they are high."""

    centre_px: PointPx
    spacing_mm: tuple[float, float]
    side_mm: float
    side_px: int

    @classmethod
    def around(cls, finding: Finding, ct_slice: CTSlice, side_px: int) -> Crop:
        """What surrounds a finding."""
        long_mm = finding.size.axes.long_mm if finding.size is not None else finding.soft_diameter_mm
        return cls(finding.center_px, ct_slice.spacing_mm, max(MIN_SIDE_MM, SIDE_PER_AXIS * long_mm), side_px)

    @property
    def per_mm(self) -> float:
        """Picture pixels a millimetre."""
        return self.side_px / self.side_mm

    def to_picture(self, points_px: Points) -> Points:
        """(N, 2) (column, row) of the image to those of the tile."""
        per_pixel = self.per_mm * np.array([self.spacing_mm[1], self.spacing_mm[0]])
        return np.asarray((points_px - np.array(self.centre_px)) * per_pixel + (self.side_px - 1) / 2)

    def cut(self, ct_slice: CTSlice, window: Window) -> Rgb:
        """The tile in a window, smoothly enlarged; beyond the image it is air."""
        step = 1 / (self.per_mm * np.array([self.spacing_mm[1], self.spacing_mm[0]]))
        start = np.array(self.centre_px) - (self.side_px - 1) / 2 * step
        back = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
        hu = cv2.warpAffine(
            ct_slice.hu,
            back,
            (self.side_px, self.side_px),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=AIR_HU,
        )
        return _grey_rgb(window.grey(np.asarray(hu, np.float32)))


@dataclass(frozen=True, slots=True, eq=False)
class Locator:
    """A series seen from the front, head up: `grey` uint8 (rows, columns) with square pixels of `pixel_mm`; its slices
    are `slice_mm` apart, the first at the bottom where `upwards`."""

    grey: NDArray[np.uint8]
    pixel_mm: float
    slice_mm: float
    slices: int
    upwards: bool
    column_mm: float
    orientation: Orientation

    def at(self, column: float, index: int) -> PointPx:
        """(column, row) of the locator of an image column on a slice."""
        row = (self.slices - 1 - index if self.upwards else index) + 0.5
        return (column + 0.5) * self.column_mm / self.pixel_mm, row * self.slice_mm / self.pixel_mm


def locator_of(volume: CTVolume) -> Locator:
    """The mean through the body from front to back, as a radiograph shows it."""
    step = -(-len(volume) // MAX_SECTIONS)
    seen = np.clip(volume.hu[::step, ::ROW_STEP, ::COLUMN_STEP], -1000, 400).mean(axis=1, dtype=np.float32)
    upwards = volume.orientation.normal[2] > 0
    slice_mm, _, column_mm = volume.spacing_mm
    pixel_mm = column_mm * COLUMN_STEP
    height = max(1, round(len(volume) * slice_mm / pixel_mm))
    whole = cv2.resize(seen[::-1] if upwards else seen, (seen.shape[1], height), interpolation=cv2.INTER_LINEAR)
    grey = CORONAL.grey(np.asarray(whole, np.float32))
    return Locator(grey, pixel_mm, slice_mm, len(volume), bool(upwards), column_mm, volume.orientation)


def draw_tiles(
    ct_slice: CTSlice,
    finding: Finding | None,
    *,
    width_px: int,
    language: Language,
    slice_ref: SliceRef | None = None,
    locator: Locator | None = None,
) -> Rgb:
    """uint8 RGB: a row of tiles as wide as the slice's picture; without a finding nothing but a locator, if there is
    one."""
    side = min(MAX_SIDE_PX, (width_px - (TILES - 1) * GAP_PX) // TILES)
    tiles: list[Rgb] = []
    if finding is not None:
        crop = Crop.around(finding, ct_slice, side)
        tiles = [
            _crop_tile(crop, ct_slice, LUNG, "lung_window", language, finding),
            _crop_tile(crop, ct_slice, MEDIASTINUM, "soft_window", language),
        ]
    if locator is not None and slice_ref is not None:
        column = None if finding is None else finding.center_px[0]
        tiles.append(_front(locator, side, slice_ref.index, column))
    elif finding is not None:
        tiles.append(overview(ct_slice, side, crop))
    return _in_a_row(tiles, side, width_px)


def _in_a_row(tiles: Sequence[Rgb], side: int, width_px: int) -> Rgb:
    if not tiles:
        return np.zeros((0, width_px, 3), np.uint8)
    row = np.zeros((side + 2 * GAP_PX, width_px, 3), np.uint8)
    for n, tile in enumerate(tiles):
        left = n * (side + GAP_PX)
        row[GAP_PX : GAP_PX + side, left : left + side] = tile
    return row


def _crop_tile(
    crop: Crop, ct_slice: CTSlice, window: Window, caption: Caption, language: Language, marked: Finding | None = None
) -> Rgb:
    words = f"{CAPTIONS[caption][language]} {window.centre_hu:g}/{window.width_hu:g}"
    return crop_tile(crop, ct_slice, window, [words], marked)


def crop_tile(
    crop: Crop, ct_slice: CTSlice, window: Window, words: Sequence[str], marked: Finding | None = None
) -> Rgb:
    """uint8 RGB, square: what surrounds a point, with a finding's shape, lines of words, sides and a scale."""
    tile, size = crop.cut(ct_slice, window), words_px(crop.side_px)
    if marked is not None:
        draw_shape(tile, marked, crop.to_picture)
    draw_sides(tile, ct_slice.orientation, size)
    for number, line in enumerate(words):
        draw_text(tile, line, (GAP_PX, GAP_PX + 1.4 * number * size), size)
    bottom, right = float(crop.side_px - 2 * GAP_PX), float(crop.side_px - 2 * GAP_PX)
    draw_line(tile, np.array([(right - BAR_MM * crop.per_mm, bottom), (right, bottom)]), width_px=2)
    rough = "~" if any(note.code == SPACING_ASSUMED for note in ct_slice.notes) else ""
    draw_text(tile, f"{rough}{BAR_MM:g} mm", (crop.side_px, bottom - 1.8 * size), size)
    return tile


def _front(locator: Locator, side: int, index: int, column: float | None) -> Rgb:
    """The body from the front with a line at the slice, and a dot at the finding."""
    rows, columns = locator.grey.shape
    scale = side / max(rows, columns)
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    left, top = (side - width) // 2, (side - height) // 2
    tile = np.zeros((side, side, 3), np.uint8)
    seen = cv2.resize(locator.grey, (width, height), interpolation=cv2.INTER_AREA)
    tile[top : top + height, left : left + width] = _grey_rgb(np.asarray(seen, np.uint8))
    at = np.array(locator.at(0.0 if column is None else column, index)) * scale + (left, top)
    draw_line(tile, np.array([(left, at[1]), (left + width - 1, at[1])]), colour=FOR)
    if column is not None:
        _draw_dot(tile, at)
    draw_sides(tile, locator.orientation, words_px(side), row=LETTERS_AT)
    return tile


def overview(ct_slice: CTSlice, side: int, crop: Crop) -> Rgb:
    """uint8 RGB, square: the whole slice with a frame around what the other tiles show."""
    rows_mm, columns_mm = (n * mm for n, mm in zip(ct_slice.hu.shape, ct_slice.spacing_mm, strict=True))
    middle = ((ct_slice.hu.shape[1] - 1) / 2, (ct_slice.hu.shape[0] - 1) / 2)
    whole = Crop(middle, ct_slice.spacing_mm, max(rows_mm, columns_mm), side)
    tile, size = whole.cut(ct_slice, LUNG), words_px(side)
    half = crop.side_mm / 2 / np.array([ct_slice.spacing_mm[1], ct_slice.spacing_mm[0]])
    corners = np.array(crop.centre_px) + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    draw_line(tile, whole.to_picture(corners), closed=True, colour=FOR)
    draw_sides(tile, ct_slice.orientation, size)
    return tile


def _draw_dot(tile: Rgb, at: Points) -> None:
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    draw_line(tile, at + 4 * np.stack([np.cos(turn), np.sin(turn)], axis=1), closed=True, width_px=2, colour=FOR)


def words_px(side: int) -> int:
    """Height of the words on a tile."""
    return max(10, round(CAPTION_FRACTION * side))


def _grey_rgb(grey: NDArray[np.uint8]) -> Rgb:
    return np.asarray(np.repeat(grey[..., None], 3, axis=2))
