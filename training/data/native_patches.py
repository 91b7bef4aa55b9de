"""Training patches at a slice's own pixel size, as `lidc-nodules` stores them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.imaging.ct import CTSlice, FloatImage
from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from training.data.nodules import DatasetMalformed

_T = TypeVar("_T", bound=np.generic)

PATCH_PX: Final = 71
SQUARE_TOLERANCE: Final = 0.01  # relative; a nodule's shape is blurred by more when a patch is resampled


def native_patch(hu: FloatImage, point_px: tuple[int, int]) -> NDArray[np.int16]:
    """int16 (71, 71) HU with the (column, row) pixel at [35, 35]; beyond the edge the outermost pixel is repeated."""
    limits = np.iinfo(np.int16)
    cut = _cut(hu, point_px, "edge")
    return np.clip(np.rint(cut), limits.min, limits.max).astype(np.int16)


def native_mask(mask: NDArray[np.bool_], point_px: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (71, 71) with the (column, row) pixel at [35, 35]; nothing lies beyond the edge."""
    return _cut(mask, point_px, "constant")


def read_image(path: Path, options: ReadOptions | None = None) -> CTSlice:
    """Read one image; raises DatasetMalformed naming the file, for pixels that are not square, too."""
    try:
        ct_slice = read_slice(path.read_bytes(), options)
    except OSError as error:
        raise DatasetMalformed(
            found=f"{path.name} that cannot be read ({type(error).__name__})",
            expected="an image file",
            remedy="Check the path and its permissions.",
        ) from None
    except InputError as error:
        raise DatasetMalformed(
            found=f"{error.found} in {path.name}", expected=error.expected, remedy=error.remedy
        ) from error
    row_mm, column_mm = ct_slice.spacing_mm
    if abs(row_mm / column_mm - 1) > SQUARE_TOLERANCE:
        raise DatasetMalformed(
            found=f"pixels of {row_mm:g} x {column_mm:g} mm in {path.name}",
            expected="square pixels",
            remedy="Take the axial series as it was reconstructed.",
        )
    return ct_slice


def _cut(image: NDArray[_T], point_px: tuple[int, int], beyond: Literal["edge", "constant"]) -> NDArray[_T]:
    column, row = point_px
    if not (0 <= row < image.shape[0] and 0 <= column < image.shape[1]):
        raise ValueError(f"column {column}, row {row} is outside an image of {image.shape[1]} x {image.shape[0]}")
    half = PATCH_PX // 2
    top, left = max(0, half - row), max(0, half - column)
    inside = image[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
    margins = [(top, PATCH_PX - top - inside.shape[0]), (left, PATCH_PX - left - inside.shape[1])]
    return np.pad(inside, margins, mode=beyond)
