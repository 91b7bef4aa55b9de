"""A site's own nodules from a CSV table, one row each, with images in DICOM, as pictures or as NumPy arrays.

Columns (docs/training.md has an example): `image` (path relative to the table), `column` and `row` (pixel of the
nodule's middle, 0 at the centre of the first), `patient`, and `label` or `malignancy`. Optional: the seven traits,
`diameter_mm`, `outline` (a picture of the image's size, not 0 inside nodules), `fold`, `frame`, and for pictures
and arrays, which do not say it themselves, `pixel_spacing_mm` and, for pictures, `window` (centre;width in HU).
`;` separates readers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.ct import CTSlice
from training.data.leaks import require_consistent
from training.data.native_patches import native_mask, native_patch
from training.data.nodules import (
    FOLDS,
    TRAIT_SCALES,
    UNRATED_TRAITS,
    Dataset,
    DatasetMalformed,
    Nodule,
    digest_of,
    fold_of,
    with_neighbours,
)
from training.data.table_images import TableImages
from training.data.table_rows import Row, malignancy_of, read_rows

SOURCE: Final = "table"
MAX_DIAMETER_MM: Final = 200.0  # larger than any lung lesion in a 71-pixel patch
# A nodule three times as long as wide is 1.7 times as long as the circle of its area: beyond 2 the scale is wrong.
MAX_SIZE_RATIO: Final = 2.0
# Over a table longest diameters are 1.1 to 1.2 times those of the circles; a wrong field of view moves all of them.
MEDIAN_SIZE_RATIO: Final = (0.75, 1.45)
MIN_SIZED: Final = 5  # rows from which a median says something


def read_table(path: Path) -> Dataset:
    """Read a CSV table and the images it names; see this module for its columns.

    Without a `fold`, patients are assigned by `fold_of`. `label` is a word, 1 or 0, or ratings 1-5; a bare 1 is a
    label, so single ratings belong into a column `malignancy`. Raises DatasetMissing when there is no table,
    DatasetMalformed naming the row and the column at fault, and PatientLeak when a patient or an image is on both sides
    of a split.
    """
    rows, remarks = read_rows(path)
    images = TableImages(path.parent)
    read = [_nodule(row, images) for row in tqdm(rows, desc=path.name, unit="nodule", dynamic_ncols=True)]
    _require_one_scale([ratio for _, ratio in read if ratio is not None])
    found = with_neighbours(nodule for nodule, _ in read)
    return Dataset(found, (), ((SOURCE, digest_of(found)),), (*remarks, *require_consistent(found)))


def _nodule(row: Row, images: TableImages) -> tuple[Nodule, float | None]:
    """The row's nodule, and its stated diameter as a multiple of its outline's."""
    ct_slice, digest = images(row)
    point = _point(row, ct_slice)
    outline = images.outline(row, ct_slice, point)
    patient, spacing_mm = row.required("patient", "who it belongs to: splits are by patient"), ct_slice.spacing_mm[1]
    fold = row.number_in("fold", 0, FOLDS * 20, whole=True)
    diameter_mm, ratio = _diameter(row, outline, ct_slice)
    nodule = Nodule(
        nodule_id=row.number,
        patient=patient,
        fold=fold_of(patient) if fold is None else int(fold),
        series_uid=ct_slice.source.series_instance_uid or "",
        sop_uid=_slice_uid(ct_slice),
        manufacturer=ct_slice.source.manufacturer or "",
        spacing_mm=spacing_mm,
        diameter_mm=diameter_mm,
        point_px=point,
        malignancy=malignancy_of(row),
        traits=_traits(row),
        hu=native_patch(ct_slice.hu, point),
        outline=None if outline is None else native_mask(outline, point),
        image_digest=digest,
    )
    return nodule, ratio


def _slice_uid(ct_slice: CTSlice) -> str:
    source = ct_slice.source
    return f"{source.sop_instance_uid}#{source.frame}" if source.frame else source.sop_instance_uid or ""


def _point(row: Row, ct_slice: CTSlice) -> tuple[int, int]:
    rows, columns = ct_slice.hu.shape
    place = []
    for name, count in (("column", columns), ("row", rows)):
        row.required(name, "the pixel of the nodule's middle")
        place.append(math.floor((row.number_in(name, 0, count - 1) or 0.0) + 0.5))
    column, line = place
    return column, line


def _traits(row: Row) -> tuple[float, ...]:
    given = {name: row.ratings(name, scale) for name, scale in TRAIT_SCALES.items()}
    if not any(given.values()):
        return UNRATED_TRAITS
    if empty := [name for name, ratings in given.items() if not ratings]:
        raise row.error(empty[0], "all seven traits or none of them", "Rate it, or empty the other six.")
    return tuple(float(np.mean(ratings)) for ratings in given.values())


def _diameter(row: Row, outline: NDArray[np.bool_] | None, ct_slice: CTSlice) -> tuple[float, float | None]:
    """As stated, or that of the circle of the outline's area, or nan; and the first as a multiple of the second."""
    spacing_mm = ct_slice.spacing_mm[1]
    widest = min(MAX_DIAMETER_MM, spacing_mm * max(ct_slice.hu.shape))
    stated = row.number_in("diameter_mm", spacing_mm, widest)
    drawn = None if outline is None else 2 * math.sqrt(np.count_nonzero(outline) / math.pi) * spacing_mm
    if stated is None:
        return (math.nan if drawn is None else drawn), None
    if drawn is None:
        return stated, None
    if not 1 / MAX_SIZE_RATIO <= stated / drawn <= MAX_SIZE_RATIO:
        expected = f"about {drawn:.1f} mm, which is the outline's diameter at {spacing_mm:g} mm a pixel"
        raise row.error("diameter_mm", expected, "Check pixel spacing, outline and diameter: one of them is wrong.")
    return stated, stated / drawn


def _require_one_scale(ratios: Sequence[float]) -> None:
    """Raise DatasetMalformed when stated diameters and outlines differ as a whole: then the spacing is wrong."""
    low, high = MEDIAN_SIZE_RATIO
    if len(ratios) >= MIN_SIZED and not low <= (median := float(np.median(ratios))) <= high:
        raise DatasetMalformed(
            found=f"stated diameters that are {median:.2f} times those of the outlines (median of {len(ratios)} rows)",
            expected=f"{low:g} to {high:g} times",
            remedy="Check pixel_spacing_mm: a picture that was resized has another spacing than its DICOM file.",
        )
