"""Labelled nodules and candidates as typed, frozen objects, whatever they were read from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
UNRATED_TRAITS = (float("nan"),) * len(TRAIT_SCALES)
FOLDS = 5

Suspicion = Literal["suspicious", "benign", "indeterminate"]


class DatasetMissing(InputError):
    """A data folder that is not there or not readable as one."""


class DatasetMalformed(InputError):
    """Data that do not follow their own format."""


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """How many of `readers` who outlined a nodule on this slice hold each pixel for part of it: `count` uint8."""

    count: NDArray[np.uint8]
    readers: int

    def __post_init__(self) -> None:
        if not self.readers > 0 or int(self.count.max()) > self.readers:
            raise ValueError(f"up to {self.count.max()} votes of {self.readers} readers")

    @property
    def share(self) -> FloatImage:
        """Share of the readers, float32 0-1."""
        return (self.count / np.float32(self.readers)).astype(np.float32)

    @property
    def consensus(self) -> NDArray[np.bool_]:
        """What at least half of the readers hold for nodule."""
        return np.asarray(2 * self.count.astype(np.int64) >= self.readers)


@dataclass(frozen=True, slots=True, eq=False)
class Nodule:
    """One nodule: `hu` int16 (71, 71) at native `spacing_mm`, the nodule's middle at the patch's middle.

    `outline` is one reader's filled contour, bool of the same shape, or None; `votes` are of all who outlined it on
    this slice, None where only one reader's outline is known. `lesion` is the same for all patches of one lesion, and
    empty where each nodule is one. Ratings hold one value per reader,
    `traits` the readers' mean on the scales of TRAIT_SCALES, or nan where nobody rated them. `diameter_mm` is nan
    where it is unknown. `point_px` is (column, row) of the patch's middle in the slice. `image_digest` is that of the
    whole source slice, empty where it is not at hand.
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
    outline: NDArray[np.bool_] | None
    neighbours_px: tuple[tuple[int, int], ...] = ()
    image_digest: str = ""
    lesion: str = ""
    votes: Votes | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 2 or (self.outline is not None and self.hu.shape != self.outline.shape):
            other = None if self.outline is None else self.outline.shape
            raise ValueError(f"nodule {self.nodule_id}: patch {self.hu.shape} and outline {other} differ")
        if not self.malignancy or len(self.traits) != len(TRAIT_SCALES):
            raise ValueError(f"nodule {self.nodule_id}: needs one malignancy rating and {len(TRAIT_SCALES)} traits")

    @property
    def drawn(self) -> FloatImage | None:
        """What the mask head learns, float32 0-1: the readers' votes, or the one outline that is known."""
        if self.votes is not None:
            return self.votes.share
        return None if self.outline is None else self.outline.astype(np.float32)

    @property
    def readers(self) -> int:
        """How many readers rated it."""
        return len(self.malignancy)

    @property
    def has_traits(self) -> bool:
        """Whether every trait was rated."""
        return bool(np.isfinite(self.traits).all())

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
class FalseFinding:
    """A place of a whole scan that a blob filter finds and no reader marked: `hu` int16 (71, 71) at `spacing_mm`.

    `fold` is that of the scan's patient, or the one that leaves the scan out where the patient is in none.
    """

    scan: str
    fold: int
    spacing_mm: float
    hu: NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Nodules, candidates and false findings, the digests of their files, and what was noticed while reading them."""

    nodules: tuple[Nodule, ...]
    candidates: tuple[Candidate, ...]
    digests: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    false_findings: tuple[FalseFinding, ...] = ()

    @property
    def patients(self) -> frozenset[str]:
        """Patients of the nodules; candidates carry none, their folds are cut at the same series."""
        return frozenset(n.patient for n in self.nodules)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that occur, ascending."""
        return tuple(sorted({n.fold for n in self.nodules}))


def fold_of(patient: str) -> int:
    """Fold 0-4 of a patient by the sha256 of the name: the same on every machine, whatever other patients there are."""
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") % FOLDS


def with_neighbours(nodules: Iterable[Nodule]) -> tuple[Nodule, ...]:
    """The same nodules, each knowing the places of the others in its series (its image, where no series is known)."""
    nodules = tuple(nodules)
    places: dict[str, list[tuple[int, int]]] = {}
    for nodule in nodules:
        places.setdefault(nodule.series_uid or nodule.image_digest, []).append(nodule.point_px)
    return tuple(
        replace(n, neighbours_px=tuple(p for p in places[n.series_uid or n.image_digest] if p != n.point_px))
        for n in nodules
    )


def digest_of(nodules: Iterable[Nodule]) -> str:
    """sha256 of what was learned from: patients, folds, places, scale, ratings, patches and outlines, in order."""
    digest = hashlib.sha256()
    for n in nodules:
        facts = (n.patient, n.fold, n.series_uid, n.sop_uid, n.spacing_mm, n.diameter_mm, n.point_px, n.malignancy)
        digest.update(repr((*facts, n.traits)).encode())
        digest.update(n.hu.astype("<i2").tobytes())
        digest.update(b"" if n.outline is None else n.outline.tobytes())
        if n.votes is not None:
            digest.update(n.votes.count.tobytes())
    return f"sha256:{digest.hexdigest()}"
