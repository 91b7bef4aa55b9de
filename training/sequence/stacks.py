"""Reads nodules as stacks of masked slices (the folder `nodule-stacks`), in HU and in spatial order.

Grey is another HU by manufacturer: what were left in grey would tell the scanner.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from app.inference.bundle import file_digest
from app.inference.sequence import MaskedSlice
from training.data.nodules import FOLDS, INDETERMINATE, MALIGNANCY_SCALE, DatasetMalformed

FOLDER: Final = "nodule-stacks"
TABLE: Final = "stacks.csv"
IMAGES: Final = "stacks.npz"
MIN_READERS: Final = 3
MIN_GREY_AGREEMENT: Final = 0.99  # correlation with the scan's HU; below it the pixels are from elsewhere
# HU of grey 0 and HU a grey value, by manufacturer; the window that the pictures were written with.
WINDOWS: Final[Mapping[str, tuple[float, float]]] = {
    "GE MEDICAL SYSTEMS": (-1400.0, 6.25),
    "SIEMENS": (-1024.0, 4.785),
    "Philips": (-1024.0, 4.69),
}
NARROW: Final = (-1025.0, 4.8)  # of a few GE stacks, as the fit against the scan shows
NARROW_ABOVE_HU: Final = -1200.0  # between that fit and the usual window

Columns = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A nodule on its slices, one at each height, the lowest first. `ratings` are of all readers who marked it."""

    number: int
    patient: str
    fold: int
    lesion: str
    ratings: tuple[int, ...]
    slices: tuple[MaskedSlice, ...]

    def __post_init__(self) -> None:
        heights = [each.height_mm for each in self.slices]
        if not heights or any(low >= high for low, high in pairwise(heights)):
            raise ValueError(f"stack {self.number}: slices at {heights} mm")
        low, high = MALIGNANCY_SCALE
        if not self.ratings or not all(low <= rating <= high for rating in self.ratings):
            raise ValueError(f"stack {self.number}: ratings {self.ratings}")

    @property
    def target(self) -> float:
        """The readers' mean suspicion, from 0 to 1."""
        low, high = MALIGNANCY_SCALE
        return (float(np.mean(self.ratings)) - low) / (high - low)

    @property
    def suspicious(self) -> bool:
        """Whether the readers' median is above the middle."""
        return float(np.median(self.ratings)) > INDETERMINATE

    @property
    def is_decided(self) -> bool:
        """Whether the readers' median is not the middle."""
        return float(np.median(self.ratings)) != INDETERMINATE

    @property
    def areas_mm2(self) -> NDArray[np.float64]:
        """Of the nodule on each slice."""
        return np.array([each.area_mm2 for each in self.slices])

    @property
    def heights_mm(self) -> NDArray[np.float64]:
        """Of the slices."""
        return np.array([each.height_mm for each in self.slices])

    @property
    def diameter_mm(self) -> float:
        """Of the circle with the largest slice's area."""
        return float(2 * np.sqrt(self.areas_mm2.max() / np.pi))


def read_stacks(data: Path) -> tuple[Stack, ...]:
    """All stacks of the folder `nodule-stacks` under `data` that can be learned from.

    Left out are those without a rating and those whose grey is not the scan's, and of each the outlines of holes.
    Raises DatasetMalformed for a row that does not follow the format, OSError without files.
    """
    with (data / FOLDER / TABLE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with np.load(data / FOLDER / IMAGES) as stored:
        images, offsets, heights, included = (stored[name] for name in ("image", "offset", "z_mm", "included"))
    if len(offsets) != len(rows) + 1 or offsets[-1] != len(images):
        raise _malformed(f"{len(rows)} rows, {len(offsets)} offsets and {len(images)} images")
    stacks = []
    for row, first, last in zip(rows, offsets, offsets[1:], strict=False):
        if row["malignancy_all"] and not _is_of_elsewhere(row):
            kept = np.flatnonzero(included[first:last]) + first
            stacks.append(_stack(row, images[kept], heights[kept]))
    return tuple(stacks)


def judged(stacks: Iterable[Stack]) -> tuple[Stack, ...]:
    """Those by which networks are judged: three readers and more, a median that is not 3, a lesion's largest stack."""
    best: dict[str, Stack] = {}
    for stack in stacks:
        if len(stack.ratings) < MIN_READERS or not stack.is_decided:
            continue
        if stack.lesion not in best or stack.diameter_mm > best[stack.lesion].diameter_mm:
            best[stack.lesion] = stack
    return tuple(sorted(best.values(), key=lambda stack: stack.number))


def require_apart(stacks: Sequence[Stack]) -> None:
    """Raise DatasetMalformed when a patient lies in two folds."""
    folds: dict[str, set[int]] = {}
    for stack in stacks:
        folds.setdefault(stack.patient, set()).add(stack.fold)
    if torn := sum(len(each) > 1 for each in folds.values()):
        raise DatasetMalformed(
            found=f"{torn} patients in more than one fold", expected="folds cut at patients", remedy="Cut them anew."
        )


def stacks_digest(data: Path) -> str:
    """sha256 of both files."""
    digests = "".join(file_digest(data / FOLDER / name) for name in (TABLE, IMAGES))
    return f"sha256:{hashlib.sha256(digests.encode()).hexdigest()[:16]}"


def window_of(row: Columns) -> tuple[float, float]:
    """HU of grey 0 and HU a grey value; raises DatasetMalformed for a manufacturer whose window is not known."""
    maker, fit = row["manufacturer"], row["window_low_hu"]
    if maker not in WINDOWS:
        raise _malformed("a manufacturer whose window is not known")
    usual = WINDOWS[maker]
    is_narrow = bool(fit) and usual[0] < NARROW_ABOVE_HU < float(fit)
    return NARROW if is_narrow else usual


def _is_of_elsewhere(row: Columns) -> bool:
    return bool(row["hu_r"]) and float(row["hu_r"]) < MIN_GREY_AGREEMENT


def _stack(row: Columns, images: NDArray[np.uint8], heights_mm: NDArray[np.float32]) -> Stack:
    try:
        low, step = window_of(row)
        spacing = float(row["pixel_spacing_mm"])
        slices = [
            # Grey 0 is background, and in a few images a pixel of the nodule.
            MaskedSlice((low + step * image).astype(np.float32), binary_fill_holes(image > 0), (spacing,) * 2, height)
            for image, height in zip(images, heights_mm.astype(np.float64).tolist(), strict=True)
        ]
        fold = int(row["fold"])
        if fold not in range(FOLDS):
            raise ValueError(f"fold {fold}")
        return Stack(
            number=int(row["stack"]),
            patient=row["patient"],
            fold=fold,
            lesion=row["lesion_id"],
            ratings=tuple(int(part) for part in row["malignancy_all"].split(";")),
            slices=_one_a_height(slices),
        )
    except ValueError as error:
        raise _malformed(f"stack {row['stack']}, which does not follow the format ({error})") from None


def _one_a_height(slices: Sequence[MaskedSlice]) -> tuple[MaskedSlice, ...]:
    """In spatial order; of two parts of a nodule on one slice the larger, since their places are not told."""
    best: dict[float, MaskedSlice] = {}
    for each in slices:
        if each.height_mm not in best or each.area_mm2 > best[each.height_mm].area_mm2:
            best[each.height_mm] = each
    return tuple(best[height] for height in sorted(best))


def _malformed(found: str) -> DatasetMalformed:
    return DatasetMalformed(
        found=f"in {FOLDER}: {found}",
        expected="the table and the images that belong to it, as its README describes them",
        remedy="Take the folder as it was released.",
    )
