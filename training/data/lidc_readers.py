"""Every reader's marks of `lidc-nodules`, from the folder `lidc-readers` beside it: ratings, true lesions and votes.

`nodules.csv` splits some lesions, so that a patch carries fewer readers than looked at it: 109 of 2,306 rise to three
readers or more here.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.nodules import DatasetMalformed, Nodule, Votes
from training.data.ratings import RATED, Ratings

FILES: Final = ("patches.csv", "marks.csv", "outlines.npz")
MAX_READERS: Final = 4  # LIDC has four; more marks are of neighbouring lesions that touch, or of one reader twice
# Whose contour stands on several slices: the votes are of another slice than the patch.
ON_ANOTHER_SLICE: Final = frozenset(
    {30, 228, 387, 407, 862, 863, 975, 981, 1032, 1216, 1299, 1354, 1362, 1363, 1452, 1547, 1669, 1700, 1701, 1713,
     1793, 1926, 1931, 2021, 2047, 2132, 2172, 2220, 2453}
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    lesion: str
    mark_ids: tuple[int, ...]


def with_readers(nodules: tuple[Nodule, ...], folder: Path) -> tuple[Nodule, ...]:
    """The nodules with all ratings, their lesion and votes; raises DatasetMalformed for readings of other nodules."""
    patches, ratings = _patches(folder), mark_ratings(folder)
    with np.load(folder / "outlines.npz") as stored:
        ids, votes, readers = (stored[name] for name in ("consensus_nodule_id", "votes", "readers"))
    if not len(nodules) == len(ids) == len(patches) or [n.nodule_id for n in nodules] != ids.tolist():
        raise DatasetMalformed(
            found=f"readings of {len(ids)} nodules that are not the {len(nodules)} of nodules.csv",
            expected=f"{folder.name} and lidc-nodules of the same nodules in the same order",
            remedy="Take both folders from the same source.",
        )
    return tuple(
        replace(
            n,
            malignancy=tuple(ratings[n.nodule_id][:, 0].astype(int).tolist()),
            traits=tuple(ratings[n.nodule_id][:, 1:].mean(axis=0).tolist()),
            lesion=patches[n.nodule_id].lesion,
            votes=_votes(n.nodule_id, v, int(r), len(patches[n.nodule_id].mark_ids)),
        )
        for n, v, r in zip(nodules, votes, readers, strict=True)
    )


def mark_ratings(folder: Path) -> Ratings:
    """Every reader's ratings by nodule, in the order of its marks."""
    with (folder / "marks.csv").open(newline="", encoding="utf-8") as stream:
        marks = {int(row["mark_id"]): [float(row[name]) for name in RATED] for row in csv.DictReader(stream)}
    return {k: np.array([marks[m] for m in patch.mark_ids]) for k, patch in _patches(folder).items()}


def reader_outlines(folder: Path) -> dict[int, NDArray[np.bool_]]:
    """Each reader's outline of every nodule that two or more drew, bool (readers, 71, 71), the contour's line included.

    Left out is what `Votes` are not trusted for: another slice, and more marks than there are readers.
    """
    trusted = {k: len(p.mark_ids) for k, p in _patches(folder).items()}
    with np.load(folder / "outlines.npz") as stored:
        ids, packed = stored["nodule_id"], stored["outline"]
        rows_px, columns_px = stored["votes"].shape[1:]
    masks = np.unpackbits(packed, axis=1)[:, : rows_px * columns_px].reshape(len(ids), rows_px, columns_px).astype(bool)
    places: dict[int, list[int]] = {}
    for place, nodule_id in enumerate(ids.tolist()):
        places.setdefault(nodule_id, []).append(place)
    return {
        k: masks[drawn]
        for k, drawn in places.items()
        if len(drawn) > 1 and trusted[k] <= MAX_READERS and k not in ON_ANOTHER_SLICE
    }


def _patches(folder: Path) -> dict[int, _Patch]:
    with (folder / "patches.csv").open(newline="", encoding="utf-8") as stream:
        return {
            int(row["nodule_id"]): _Patch(row["lesion_id"], tuple(map(int, row["mark_ids"].split(";"))))
            for row in csv.DictReader(stream)
        }


def _votes(nodule_id: int, votes: NDArray[np.uint8], readers: int, marks: int) -> Votes | None:
    trusted = nodule_id not in ON_ANOTHER_SLICE and marks <= MAX_READERS and votes.any()
    return Votes(votes, readers) if trusted else None
