"""Splits in which a patient, a series or an image would be on both sides, and data that contradict themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from training.data.nodules import Candidate, DatasetMalformed, Nodule

NAMED: Final = 5  # how many of the offenders an error names
SAME_PLACE_MM: Final = 3.0  # no two nodules of 3 mm and more have their middles closer

_Marks = dict[tuple[str, object], set[str]]


class PatientLeak(InputError):
    """A patient, a series or an image is on both sides of a split."""


def require_disjoint(one: Sequence[Nodule], other: Sequence[Nodule]) -> None:
    """Raise PatientLeak when a patient, a series, a slice or a patch is on both sides, and name the patients.

    A slice or series under two patients' names is a leak; so are patches of identical pixels. Mirrored or rescaled
    copies are not looked for.
    """
    shared = _shared(_by_mark(one), _by_mark(other))
    if not shared:
        return
    patients = sorted({name for _, names in shared for name in names})
    kinds = sorted({kind for kind, _ in shared})
    raise PatientLeak(
        found=f"{_listed(patients)} on both sides of the split: the same {' and '.join(kinds)}",
        expected="every patient, with all series and images, in one fold",
        remedy="Give all nodules of a patient the same fold; an image under two patients' names is one patient's.",
    )


def require_disjoint_candidates(one: Sequence[Candidate], other: Sequence[Candidate]) -> None:
    """Raise PatientLeak when candidates on both sides have identical pixels, and name them."""
    inside = {pixel_digest(c.hu): c.candidate_id for c in one}
    pairs = [(inside[d], c.candidate_id) for c in other if (d := pixel_digest(c.hu)) in inside]
    if pairs:
        raise PatientLeak(
            found=f"candidates {_listed([f'{a} and {b}' for a, b in pairs])} with the same image on both sides",
            expected="every image in one fold",
            remedy="Give identical candidates the same fold, or leave one of them out.",
        )


def require_consistent(nodules: Sequence[Nodule]) -> tuple[str, ...]:
    """Look at all nodules of a table together; returns what is odd and no error.

    Raises PatientLeak for a patient in several folds or an image of several patients, and DatasetMalformed for a place
    of an image under two labels, naming their rows.
    """
    _require_one_fold(nodules)
    for kind, names in _of_several(_by_mark(nodules)):
        raise PatientLeak(
            found=f"the same {kind} under the names {_listed(sorted(names))}",
            expected="one patient to whom an image belongs",
            remedy="Give its rows the same `patient`, or remove the copies.",
        )
    return _repeated(nodules)


def _require_one_fold(nodules: Sequence[Nodule]) -> None:
    folds: dict[str, dict[int, int]] = {}
    for nodule in nodules:
        folds.setdefault(nodule.patient, {}).setdefault(nodule.fold, nodule.nodule_id)
    for patient, rows in folds.items():
        if len(rows) > 1:
            raise PatientLeak(
                found=f"patient {patient} in several splits: "
                + ", ".join(f"fold {fold} (row {row})" for fold, row in rows.items()),
                expected="every patient, with all series and images, in one fold",
                remedy="Give all rows of a patient the same `fold`, or leave the column out.",
            )


def _repeated(nodules: Sequence[Nodule]) -> tuple[str, ...]:
    """Rows that show the same place again; raises DatasetMalformed where they disagree."""
    places: dict[str, list[Nodule]] = {}
    again = []
    for nodule in nodules:
        seen = places.setdefault(nodule.image_digest or nodule.sop_uid, [])
        for other in seen:
            if not _same_place(nodule, other):
                continue
            if nodule.suspicion != other.suspicion:
                raise DatasetMalformed(
                    found=f"the same place of the same image in rows {other.nodule_id} and {nodule.nodule_id}, "
                    f"{other.suspicion} in one and {nodule.suspicion} in the other",
                    expected="one label a nodule",
                    remedy="Decide which is right; ratings of several readers stand in one row, `;` between them.",
                )
            again.append(f"{other.nodule_id} and {nodule.nodule_id}")
        seen.append(nodule)
    return (f"The same nodule stands in rows {_listed(again)}: it counts as often.",) if again else ()


def _same_place(one: Nodule, other: Nodule) -> bool:
    apart_px = np.hypot(one.point_px[0] - other.point_px[0], one.point_px[1] - other.point_px[1])
    return bool(apart_px * one.spacing_mm < SAME_PLACE_MM)


def pixel_digest(pixels: NDArray[np.generic]) -> str:
    """sha256 of an image's shape, type and values: copies agree whatever their files' headers say."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype.str}".encode() + pixels.tobytes()).hexdigest()


def _by_mark(nodules: Iterable[Nodule]) -> _Marks:
    """Patients by everything that tells a nodule's origin."""
    marks: _Marks = {}
    for nodule in nodules:
        for mark in _marks(nodule):
            marks.setdefault(mark, set()).add(nodule.patient)
    return marks


def _marks(nodule: Nodule) -> Iterator[tuple[str, object]]:
    yield "patient", nodule.patient
    # Pictures carry no UID: two empty ones say nothing.
    if nodule.series_uid:
        yield "series", nodule.series_uid
    if nodule.sop_uid:
        yield "slice", nodule.sop_uid
    if nodule.image_digest:
        yield "slice", nodule.image_digest
    yield "patch", pixel_digest(nodule.hu)


def _shared(one: _Marks, other: _Marks) -> list[tuple[str, set[str]]]:
    return [(mark[0], one[mark] | other[mark]) for mark in one.keys() & other.keys()]


def _of_several(marks: _Marks) -> list[tuple[str, set[str]]]:
    return [(kind, names) for (kind, _), names in marks.items() if len(names) > 1]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
