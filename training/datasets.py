"""Labelled nodules and candidates as typed, frozen objects, and splits that keep patients apart.

Reads the two development folders: `lidc-nodules` (LIDC-IDRI, Armato et al. 2011) and `luna-candidates` (LUNA16).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.imaging.ct import FloatImage

TRAIT_SCALES: dict[str, tuple[int, int]] = {
    "subtlety": (1, 5),
    "calcification": (1, 6),
    "sphericity": (1, 5),
    "margin": (1, 5),
    "lobulation": (1, 5),
    "spiculation": (1, 5),
    "texture": (1, 5),
}
MALIGNANCY_SCALE = (1, 5)
INDETERMINATE = 3  # LIDC-IDRI's middle rating
LUNA_SPACING_MM = 0.7  # the candidates carry none; this is the median of lidc-nodules
LUNA_WINDOW_HU = (-1000.0, 400.0)

Suspicion = Literal["suspicious", "benign", "indeterminate"]


class PatientLeak(InputError):
    """A patient is on both sides of a split."""


class DatasetMissing(InputError):
    """A data folder that is not there or not readable as one."""


@dataclass(frozen=True, slots=True, eq=False)
class Nodule:
    """One LIDC nodule: `hu` int16 (71, 71) at native `spacing_mm`, the nodule's middle at the patch's middle.

    `outline` is one reader's filled contour, bool of the same shape. Ratings hold one value per reader.
    """

    nodule_id: int
    patient: str
    fold: int
    series_uid: str
    sop_uid: str
    manufacturer: str
    spacing_mm: float
    diameter_mm: float
    point_px: tuple[int, int]
    malignancy: tuple[int, ...]
    traits: tuple[float, ...]
    hu: NDArray[np.int16]
    outline: NDArray[np.bool_]
    neighbours_px: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.hu.ndim != 2 or self.hu.shape != self.outline.shape:
            raise ValueError(f"nodule {self.nodule_id}: patch {self.hu.shape} and outline {self.outline.shape} differ")
        if not self.malignancy or len(self.traits) != len(TRAIT_SCALES):
            raise ValueError(f"nodule {self.nodule_id}: needs one malignancy rating and {len(TRAIT_SCALES)} traits")

    @property
    def readers(self) -> int:
        """How many readers rated it."""
        return len(self.malignancy)

    @property
    def median_malignancy(self) -> float:
        """Median of the readers' suspicion, 1-5."""
        return float(np.median(self.malignancy))

    @property
    def suspicion(self) -> Suspicion:
        """Suspicious above a median of 3, benign below, indeterminate at 3."""
        if self.median_malignancy == INDETERMINATE:
            return "indeterminate"
        return "suspicious" if self.median_malignancy > INDETERMINATE else "benign"


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One LUNA16 candidate: `hu` float32 (50, 50), at an assumed `LUNA_SPACING_MM`."""

    candidate_id: int
    fold: int
    is_nodule: bool
    hu: FloatImage


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Nodules and candidates with the digest of the files they came from."""

    nodules: tuple[Nodule, ...]
    candidates: tuple[Candidate, ...]
    digests: tuple[tuple[str, str], ...] = ()

    @property
    def patients(self) -> frozenset[str]:
        """Patients of the nodules; candidates carry none, their folds are cut at the same series."""
        return frozenset(n.patient for n in self.nodules)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that occur, ascending."""
        return tuple(sorted({n.fold for n in self.nodules}))


def read_dataset(data: Path) -> Dataset:
    """Read `lidc-nodules` and, where it is there, `luna-candidates` under `data`; raises DatasetMissing."""
    lidc, luna = data / "lidc-nodules", data / "luna-candidates"
    files = [lidc / "nodules.csv", lidc / "patches.npz"] + [p for p in [luna / "patches.npz"] if p.is_file()]
    if missing := [p.name for p in files if not p.is_file()]:
        raise DatasetMissing(
            found=f"no {', '.join(missing)} in {lidc}",
            expected="lidc-nodules/nodules.csv and lidc-nodules/patches.npz",
            remedy="Point --data at the folder that holds lidc-nodules.",
        )
    candidates = read_candidates(luna) if (luna / "patches.npz").is_file() else ()
    digests = {name: _digest(p for p in files if p.parent.name == name) for name in (lidc.name, luna.name)}
    return Dataset(read_nodules(lidc), candidates, tuple((n, d) for n, d in digests.items() if d))


def read_nodules(folder: Path) -> tuple[Nodule, ...]:
    """Read `nodules.csv` and `patches.npz`; raises ValueError when they do not list the same nodules."""
    with (folder / "nodules.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with np.load(folder / "patches.npz") as stored:
        ids, hu, packed = stored["nodule_id"], stored["hu"], stored["outline"]
    if [int(row["nodule_id"]) for row in rows] != ids.tolist():
        raise ValueError(f"{folder.name}: nodules.csv and patches.npz list different nodules")
    rows_px, columns_px = hu.shape[1:]
    outlines = np.unpackbits(packed, axis=1)[:, : rows_px * columns_px].reshape(hu.shape).astype(bool)
    by_series: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        by_series.setdefault(row["series_uid"], []).append(_point(row))
    return tuple(_nodule(r, h, o, by_series[r["series_uid"]]) for r, h, o in zip(rows, hu, outlines, strict=True))


def read_candidates(folder: Path) -> tuple[Candidate, ...]:
    """Read `patches.npz` and map its 8-bit window back to HU."""
    with np.load(folder / "patches.npz") as stored:
        window, is_nodule, ids, folds = (stored[k] for k in ("window", "is_nodule", "candidate_id", "fold"))
    low, high = LUNA_WINDOW_HU
    hu = low + window.astype(np.float32) * np.float32((high - low) / 255)
    return tuple(Candidate(int(i), int(f), bool(y), h) for i, f, y, h in zip(ids, folds, is_nodule, hu, strict=True))


def hold_out(dataset: Dataset, fold: int) -> tuple[Dataset, Dataset]:
    """Split into (all other folds, `fold`); raises PatientLeak naming a patient on both sides."""
    inside = _select(dataset, [f for f in dataset.folds if f != fold])
    outside = _select(dataset, [fold])
    require_disjoint(inside.nodules, outside.nodules)
    return inside, outside


def require_disjoint(one: Sequence[Nodule], other: Sequence[Nodule]) -> None:
    """Raise PatientLeak when a patient, or a series under two patients' names, is on both sides."""
    shared = {n.patient for n in one} & {n.patient for n in other}
    series = {n.series_uid for n in one} & {n.series_uid for n in other}
    patients = sorted(shared | {n.patient for n in (*one, *other) if n.series_uid in series})
    if patients:
        raise PatientLeak(
            found=f"{', '.join(patients[:5])} on both sides of the split ({len(patients)} in all)",
            expected="every patient in one fold",
            remedy="Give all nodules of a patient the same fold.",
        )


def _select(dataset: Dataset, folds: Sequence[int]) -> Dataset:
    return Dataset(
        tuple(n for n in dataset.nodules if n.fold in folds),
        tuple(c for c in dataset.candidates if c.fold in folds),
        dataset.digests,
    )


def _nodule(
    row: dict[str, str], hu: NDArray[np.int16], outline: NDArray[np.bool_], in_series: list[tuple[int, int]]
) -> Nodule:
    here = _point(row)
    return Nodule(
        nodule_id=int(row["nodule_id"]),
        patient=row["patient"],
        fold=int(row["fold"]),
        series_uid=row["series_uid"],
        sop_uid=row["sop_uid"],
        manufacturer=row["manufacturer"],
        spacing_mm=float(row["pixel_spacing_mm"]),
        diameter_mm=float(row["eq_diameter_mm"]),
        point_px=here,
        malignancy=_ratings(row["malignancy"]),
        traits=tuple(float(np.mean(_ratings(row[name]))) for name in TRAIT_SCALES),
        hu=hu,
        outline=outline,
        neighbours_px=tuple(p for p in in_series if p != here),
    )


def _point(row: dict[str, str]) -> tuple[int, int]:
    return int(row["col"]), int(row["row"])


def _ratings(text: str) -> tuple[int, ...]:
    return tuple(int(value) for value in text.split(";"))


def _digest(files: Iterable[Path]) -> str:
    digest, empty = hashlib.sha256(), True
    for file in files:
        digest.update(file.read_bytes())
        empty = False
    return "" if empty else f"sha256:{digest.hexdigest()}"
