"""What to train on: the right reader for what a path holds, and splits that keep patients apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.imaging.read import quiet_decoders
from training.data.development import read_development
from training.data.false_findings import TaughtScan, with_false_findings
from training.data.leaks import require_disjoint, require_disjoint_candidates
from training.data.lidc import read_lidc
from training.data.nodules import Dataset, DatasetMissing
from training.data.table import read_table


def read_dataset(data: Path, scans: Mapping[str, TaughtScan] | None = None) -> Dataset:
    """Read a table (.csv), a folder with `lidc-nodules`, or LIDC-IDRI as published (DICOM and reader XML).

    False findings of `scans` come with a folder that has `lidc-nodules`. Raises DatasetMissing when `data` is none of
    them, and what the readers raise.
    """
    quiet_decoders()  # warnings of theirs quote values, which may name a patient
    if data.is_file() and data.suffix.lower() == ".csv":
        return read_table(data)
    if (data / "lidc-nodules").is_dir():
        return with_false_findings(read_development(data), data, scans or {})
    if data.is_dir() and next(data.rglob("*.xml"), None) is not None:
        return read_lidc(data)
    raise DatasetMissing(
        found=f"no .csv table, no lidc-nodules/nodules.csv and no reader XML at {data}",
        expected="a table of your own, the development data, or LIDC-IDRI with its XML files",
        remedy="Point --data at a .csv file, at the folder that holds lidc-nodules, or at an LIDC-IDRI folder.",
    )


def hold_out(dataset: Dataset, fold: int) -> tuple[Dataset, Dataset]:
    """Split into (all other folds, `fold`); raises PatientLeak naming what is on both sides."""
    inside = _select(dataset, [f for f in dataset.folds if f != fold])
    outside = _select(dataset, [fold])
    require_disjoint(inside.nodules, outside.nodules)
    require_disjoint_candidates(inside.candidates, outside.candidates)
    return inside, outside


def _select(dataset: Dataset, folds: Sequence[int]) -> Dataset:
    return Dataset(
        tuple(n for n in dataset.nodules if n.fold in folds),
        tuple(c for c in dataset.candidates if c.fold in folds),
        dataset.digests,
        false_findings=tuple(f for f in dataset.false_findings if f.fold in folds),
    )
