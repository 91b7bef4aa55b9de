"""The images that a table names: DICOM, pictures and NumPy arrays of HU, each with its scale stated and not guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final  # an array's type is what is asked of it

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.imaging.ct import CTSlice, SliceSource
from app.imaging.image_size import check_field, check_size
from app.imaging.options import ReadOptions, Window
from training.data.leaks import pixel_digest
from training.data.native_patches import read_image
from training.data.nodules import DatasetMalformed
from training.data.table_rows import Row

ASSUMED: Final = {"spacing_assumed": "pixel_spacing_mm", "window_assumed": "window"}
ARRAY: Final = ".npy"
AIR_BELOW_HU: Final = -500.0  # every slice of a lung holds air; an array without is scaled, or in a window
SPACING_TOLERANCE: Final = 0.01  # relative, between a table and the DICOM file it names


class TableImages:
    """Images of a table, the last one kept: rows of one image usually follow each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[tuple[Path, ReadOptions], CTSlice, str] | None = None

    def __call__(self, row: Row) -> tuple[CTSlice, str]:
        """The row's image and its pixel digest; raises DatasetMalformed naming the row and the column at fault."""
        path, options = self.path(row, "image"), _options(row)
        if self._last is None or self._last[0] != (path, options):
            try:
                ct_slice = _read_array(path, options) if path.suffix.lower() == ARRAY else read_image(path, options)
            except DatasetMalformed as error:
                raise row.error("image", error.expected, error.remedy, found=error.found) from error
            self._last = ((path, options), ct_slice, pixel_digest(ct_slice.hu))
        _refuse_assumed(row, self._last[1])
        _refuse_other_spacing(row, self._last[1])
        return self._last[1], self._last[2]

    def path(self, row: Row, column: str) -> Path:
        """The file that a cell names."""
        path = self._folder / row.required(column, "a path relative to the table")
        if not path.is_file():
            raise row.error(column, "a file", f"Paths are relative to {self._folder.name}/, where the table is.")
        return path

    def outline(self, row: Row, ct_slice: CTSlice, point_px: tuple[int, int]) -> NDArray[np.bool_] | None:
        """The piece of the row's mask at the point, bool of the image's shape; None without a mask."""
        if not row.text("outline"):
            return None
        mask, (rows, columns) = _mask(self.path(row, "outline")), ct_slice.hu.shape
        if mask is None or mask.shape != (rows, columns) or not mask.any():
            expected = f"a picture (or .npy) of {columns} x {rows} pixels, not 0 inside the nodule"
            raise row.error("outline", expected, "Export the mask at the image's own size.")
        return _nearest_piece(np.asarray(mask > 0, np.bool_), point_px)


def _options(row: Row) -> ReadOptions:
    frame, spacing = row.number_in("frame", 1, 1_000_000, whole=True), row.number_in("pixel_spacing_mm", 0.1, 3)
    return ReadOptions(
        frame=None if frame is None else int(frame),
        pixel_spacing_mm=None if spacing is None else (spacing, spacing),
        window=_window(row),
    )


def _window(row: Row) -> Window | None:
    if not row.text("window"):
        return None
    try:
        centre, width = map(float, row.text("window").split(";"))
        return Window(centre, width)
    except ValueError:
        expected = "centre;width in HU, such as -300;1400"
        raise row.error("window", expected, "Write the window the picture was exported with.") from None


def _read_array(path: Path, options: ReadOptions) -> CTSlice:
    """A NumPy array of HU: (rows, columns), or (slices, rows, columns) of which `frame` names one."""
    hu = _array(path)
    if hu.ndim == 3:
        hu = _frame(hu, options.frame, path)
    if hu.ndim != 2 or hu.dtype.kind not in "iuf" or not np.isfinite(hu).all():
        raise _not_hu(path, f"{hu.ndim} axes of {hu.dtype}", "finite numbers in rows and columns")
    if options.window is not None or not hu.size or hu.min() > AIR_BELOW_HU:
        found = "a window beside an array" if options.window else "no value below -500, so no air,"
        raise _not_hu(path, found, "Hounsfield units, air at about -1000")
    if options.pixel_spacing_mm is None:
        raise _not_hu(path, "no pixel_spacing_mm beside an array", "the millimetres between its pixels")
    rows, columns = hu.shape
    try:
        check_size(rows, columns)
        check_field(rows, columns, options.pixel_spacing_mm)
    except InputError as error:
        raise _not_hu(path, error.found, error.expected) from error
    source = SliceSource(kind="array", rows=rows, columns=columns, frame=options.frame)
    return CTSlice(hu.astype(np.float32), options.pixel_spacing_mm, source)


def _array(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise _not_hu(path, f"no readable array ({type(error).__name__})", "what numpy.save writes") from None


def _frame(stack: NDArray[Any], frame: int | None, path: Path) -> NDArray[Any]:
    if frame is None or frame > len(stack):
        raise _not_hu(path, f"{len(stack)} slices and frame {frame}", f"`frame` from 1 to {len(stack)}")
    return np.asarray(stack[frame - 1])


def _not_hu(path: Path, found: str, expected: str) -> DatasetMalformed:
    return DatasetMalformed(
        found=f"{found} in {path.name}", expected=expected, remedy="Save the slice in HU, and state its spacing."
    )


def _refuse_assumed(row: Row, ct_slice: CTSlice) -> None:
    """What a service may assume with a warning, a network must not learn from."""
    for note in ct_slice.notes:
        if note.code in ASSUMED:
            column = ASSUMED[note.code]
            raise row.error(column, f"{column}: a picture does not say it", "State it, or name the DICOM file.")


def _refuse_other_spacing(row: Row, ct_slice: CTSlice) -> None:
    stated, own = row.number_in("pixel_spacing_mm", 0.1, 3), ct_slice.spacing_mm[1]
    if stated is not None and abs(stated / own - 1) > SPACING_TOLERANCE:
        expected = f"{own:g} mm, as the image itself states, or an empty cell"
        raise row.error("pixel_spacing_mm", expected, "Find out which is right: every size depends on it.")


def _mask(path: Path) -> NDArray[Any] | None:
    if path.suffix.lower() == ARRAY:
        mask = _array(path)
        return mask if mask.ndim == 2 and mask.dtype.kind in "biuf" else None
    data = np.frombuffer(path.read_bytes(), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    return None if found is None else np.asarray(found)


def _nearest_piece(mask: NDArray[np.bool_], point_px: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask may show every nodule of the slice: the piece that holds the point, or lies nearest to it."""
    places = np.argwhere(mask)
    row, column = places[np.argmin(np.hypot(*(places - point_px[::-1]).T))]
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8))
    return np.asarray(pieces == pieces[row, column], np.bool_)
