"""A site's own nodules from a CSV table, one row each, with images in DICOM or as pictures.

Columns (docs/training.md has an example): `image` (path relative to the table), `column` and `row` (pixel of the
nodule's middle, 0 at the centre of the first), `patient`, and `label` or `malignancy`. Optional: the seven traits,
`diameter_mm`, `outline` (a picture of the image's size, not 0 inside nodules), `fold`, `frame`, and for pictures,
which do not say it themselves, `pixel_spacing_mm` and `window` (centre;width in HU). `;` separates readers.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.ct import CTSlice
from app.imaging.options import ReadOptions, Window
from training.data.leaks import pixel_digest
from training.data.native_patches import native_mask, native_patch, read_image
from training.data.nodules import (
    FOLDS,
    MALIGNANCY_SCALE,
    TRAIT_SCALES,
    UNRATED_TRAITS,
    Dataset,
    DatasetMalformed,
    DatasetMissing,
    Nodule,
    digest_of,
    fold_of,
    with_neighbours,
)

SOURCE: Final = "table"
REQUIRED: Final = ("image", "column", "row", "patient")
OPTIONAL: Final = ("diameter_mm", "outline", "fold", "frame", "pixel_spacing_mm", "window")
KNOWN: Final = {*REQUIRED, *OPTIONAL, "label", "malignancy", *TRAIT_SCALES}
LABELS: Final = {"suspicious": 5, "1": 5, "benign": 1, "0": 1}
BINARY: Final = ("1", "0")
ASSUMED: Final = {"spacing_assumed": "pixel_spacing_mm", "window_assumed": "window"}
MAX_DIAMETER_MM: Final = 200.0  # larger than any lung lesion in a 71-pixel patch


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table; `number` is what a spreadsheet shows, the header being 1."""

    number: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def error(self, column: str, expected: str, remedy: str, *, found: str | None = None) -> DatasetMalformed:
        shown = found or (f"{self.text(column)[:40]!r}" if self.text(column) else "nothing")
        return DatasetMalformed(
            found=f"{shown} in row {self.number}, column {column!r}", expected=expected, remedy=remedy
        )

    def required(self, column: str, what: str) -> str:
        if not self.text(column):
            raise self.error(column, what, "Fill it in, or remove the row.")
        return self.text(column)

    def number_in(self, column: str, low: float, high: float, *, whole: bool = False) -> float | None:
        """A number, or None for an empty cell."""
        if not self.text(column):
            return None
        try:
            value = float(self.text(column))
        except ValueError:
            value = math.nan
        if not low <= value <= high or (whole and not value.is_integer()):
            kind = "a whole number" if whole else "a number"
            raise self.error(column, f"{kind} from {low:g} to {high:g}", "Write it with a decimal point, no unit.")
        return value

    def ratings(self, column: str, scale: tuple[int, int]) -> tuple[int, ...]:
        """One rating for each reader; empty for an empty cell."""
        low, high = scale
        parts = [part.strip() for part in self.text(column).split(";")] if self.text(column) else []
        if not all(part.isdecimal() and low <= int(part) <= high for part in parts):
            raise self.error(column, f"whole numbers from {low} to {high}, `;` between readers", "Correct the ratings.")
        return tuple(map(int, parts))


def read_table(path: Path) -> Dataset:
    """Read a CSV table and the images it names; see this module for its columns.

    Without a `fold`, patients are assigned by `fold_of`. `label` is suspicious or 1, benign or 0, or ratings 1-5;
    a bare 1 is a label, so single ratings belong into a column `malignancy`. Raises DatasetMissing when there is no
    table, and DatasetMalformed naming the row and the column at fault.
    """
    rows = _rows(path)
    _refuse_ambiguous_labels(rows)
    images = _Images(path.parent)
    bar = tqdm(rows, desc=path.name, unit="nodule", dynamic_ncols=True)
    found = with_neighbours(_nodule(row, images) for row in bar)
    return Dataset(found, (), ((SOURCE, digest_of(found)),))


class _Images:
    """Images of a table, the last one kept: rows of one image usually follow each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[tuple[Path, ReadOptions], CTSlice, str] | None = None

    def __call__(self, row: _Row) -> tuple[CTSlice, str]:
        """The row's image and its pixel digest."""
        path, options = self.path(row, "image"), _options(row)
        if self._last is None or self._last[0] != (path, options):
            try:
                ct_slice = read_image(path, options)
            except DatasetMalformed as error:
                raise row.error("image", error.expected, error.remedy, found=error.found) from error
            self._last = ((path, options), ct_slice, pixel_digest(ct_slice.hu))
        return self._last[1], self._last[2]

    def path(self, row: _Row, column: str) -> Path:
        path = self._folder / row.required(column, "a path relative to the table")
        if not path.is_file():
            raise row.error(column, "a file", f"Paths are relative to {self._folder.name}/, where the table is.")
        return path


def _rows(path: Path) -> list[_Row]:
    if not path.is_file():
        raise DatasetMissing(found=f"no file {path.name}", expected="a CSV table", remedy="Check the path.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets put a mark before UTF-8
            reader = csv.DictReader(stream, restkey="", strict=True)
            columns = tuple(name.strip() for name in reader.fieldnames or ())
            reader.fieldnames = columns
            rows = [_Row(number, cells) for number, cells in enumerate(reader, 2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetMalformed(
            found=f"{path.name} that is not a CSV file ({error})",
            expected="UTF-8 text, commas between cells",
            remedy="Export it again as CSV (UTF-8).",
        ) from None
    _check_columns(path, columns, rows)
    return rows


def _check_columns(path: Path, columns: Sequence[str], rows: Sequence[_Row]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    answers = [name for name in ("label", "malignancy") if name in columns]
    if not answers:
        missing.append("label (or malignancy)")
    unknown = [name for name in columns if name not in KNOWN]
    rated = [name for name in TRAIT_SCALES if name in columns]
    partly = [name for name in TRAIT_SCALES if name not in columns] if rated else []
    both = answers if len(answers) > 1 else []
    twice = sorted({name for name in columns if columns.count(name) > 1})
    found = {"missing": missing, "unknown": unknown, "missing beside other traits": partly, "both": both,
             "twice": twice}  # fmt: skip
    said = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    if said or not rows:
        raise DatasetMalformed(
            found=f"{path.name} with {'; '.join(said) or 'no rows'}",
            expected=f"commas between cells, the columns {', '.join(REQUIRED)} and one of label and malignancy; "
            f"all seven traits or none; optional {', '.join(OPTIONAL)}",
            remedy="Rename or add the columns in the first row.",
        )
    for row in rows:
        if row.cells.get(""):
            raise row.error(columns[-1], "as many cells as columns", "Quote cells with a comma.", found="more cells")


def _refuse_ambiguous_labels(rows: Iterable[_Row]) -> None:
    """A bare 1 says suspicious, and beside ratings it would say the opposite."""
    bare = [row for row in rows if row.text("label") in BINARY]
    rated = [row for row in rows if row.text("label").isdecimal() and row.text("label") not in BINARY]
    if bare and rated:
        raise rated[0].error(
            "label",
            f"one meaning of the numbers: row {bare[0].number} has {bare[0].text('label')!r}, which is a label",
            "Write suspicious and benign, or move all ratings into a column malignancy.",
        )


def _nodule(row: _Row, images: _Images) -> Nodule:
    ct_slice, digest = images(row)
    _refuse_assumed(row, ct_slice)
    point = _point(row, ct_slice)
    outline = _outline(row, images, ct_slice)
    patient, spacing_mm = row.required("patient", "who it belongs to: splits are by patient"), ct_slice.spacing_mm[1]
    fold = row.number_in("fold", 0, FOLDS * 20, whole=True)
    return Nodule(
        nodule_id=row.number,
        patient=patient,
        fold=fold_of(patient) if fold is None else int(fold),
        series_uid=ct_slice.source.series_instance_uid or "",
        sop_uid=_slice_uid(ct_slice),
        manufacturer=ct_slice.source.manufacturer or "",
        spacing_mm=spacing_mm,
        diameter_mm=_diameter(row, outline, spacing_mm),
        point_px=point,
        malignancy=_malignancy(row),
        traits=_traits(row),
        hu=native_patch(ct_slice.hu, point),
        outline=None if outline is None else native_mask(outline, point),
        image_digest=digest,
    )


def _options(row: _Row) -> ReadOptions:
    frame, spacing = row.number_in("frame", 1, 1_000_000, whole=True), row.number_in("pixel_spacing_mm", 0.1, 3)
    return ReadOptions(
        frame=None if frame is None else int(frame),
        pixel_spacing_mm=None if spacing is None else (spacing, spacing),
        window=_window(row),
    )


def _window(row: _Row) -> Window | None:
    if not row.text("window"):
        return None
    try:
        centre, width = map(float, row.text("window").split(";"))
        return Window(centre, width)
    except ValueError:
        expected = "centre;width in HU, such as -300;1400"
        raise row.error("window", expected, "Write the window the picture was exported with.") from None


def _refuse_assumed(row: _Row, ct_slice: CTSlice) -> None:
    """What a service may assume with a warning, a network must not learn from."""
    for note in ct_slice.notes:
        if note.code in ASSUMED:
            column = ASSUMED[note.code]
            raise row.error(column, f"{column}: a picture does not say it", "State it, or name the DICOM file.")


def _slice_uid(ct_slice: CTSlice) -> str:
    source = ct_slice.source
    return f"{source.sop_instance_uid}#{source.frame}" if source.frame else source.sop_instance_uid or ""


def _point(row: _Row, ct_slice: CTSlice) -> tuple[int, int]:
    rows, columns = ct_slice.hu.shape
    place = []
    for name, count in (("column", columns), ("row", rows)):
        row.required(name, "the pixel of the nodule's middle")
        place.append(math.floor((row.number_in(name, 0, count - 1) or 0.0) + 0.5))
    column, line = place
    return column, line


def _malignancy(row: _Row) -> tuple[int, ...]:
    label = row.text("label").lower()
    if label in LABELS:
        return (LABELS[label],)
    return row.ratings("malignancy", MALIGNANCY_SCALE) or row.ratings("label", MALIGNANCY_SCALE) or _no_label(row)


def _no_label(row: _Row) -> tuple[int, ...]:
    column = "label" if "label" in row.cells else "malignancy"
    raise row.error(column, "suspicious, benign, 1, 0 or ratings such as 4;5;3", "Label the nodule or remove the row.")


def _traits(row: _Row) -> tuple[float, ...]:
    given = {name: row.ratings(name, scale) for name, scale in TRAIT_SCALES.items()}
    if not any(given.values()):
        return UNRATED_TRAITS
    if empty := [name for name, ratings in given.items() if not ratings]:
        raise row.error(empty[0], "all seven traits or none of them", "Rate it, or empty the other six.")
    return tuple(float(np.mean(ratings)) for ratings in given.values())


def _outline(row: _Row, images: _Images, ct_slice: CTSlice) -> NDArray[np.bool_] | None:
    """The mask picture, bool of the image's shape."""
    if not row.text("outline"):
        return None
    data = np.frombuffer(images.path(row, "outline").read_bytes(), np.uint8)
    mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    rows, columns = ct_slice.hu.shape
    if mask is None or mask.shape != (rows, columns) or not mask.any():
        expected = f"a picture of {columns} x {rows} pixels, not 0 inside the nodule"
        raise row.error("outline", expected, "Export the mask at the image's own size.")
    return _nearest_piece(np.asarray(mask > 0, np.bool_), _point(row, ct_slice))


def _nearest_piece(mask: NDArray[np.bool_], point_px: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask may show every nodule of the slice: the piece that holds the point, or lies nearest to it."""
    places = np.argwhere(mask)
    row, column = places[np.argmin(np.hypot(*(places - point_px[::-1]).T))]
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8))
    return np.asarray(pieces == pieces[row, column], np.bool_)


def _diameter(row: _Row, outline: NDArray[np.bool_] | None, spacing_mm: float) -> float:
    """As stated, or that of the circle of the outline's area; nan without either."""
    stated = row.number_in("diameter_mm", spacing_mm, MAX_DIAMETER_MM)
    if stated is not None:
        return stated
    return math.nan if outline is None else 2 * math.sqrt(np.count_nonzero(outline) / math.pi) * spacing_mm
