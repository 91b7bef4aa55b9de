"""Reads the development folders: `lidc-nodules` (LIDC-IDRI, Armato et al. 2011) with every reader's marks in
`lidc-readers`, and `luna-candidates` (LUNA16)."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data import lidc_readers
from training.data.nodules import TRAIT_SCALES, Candidate, Dataset, DatasetMissing, Nodule

LUNA_SPACING_MM = 0.7  # the candidates carry none; this is the median of lidc-nodules
LUNA_WINDOW_HU = (-1000.0, 400.0)


def read_development(data: Path) -> Dataset:
    """Read `lidc-nodules` and, where they are there, `lidc-readers` and `luna-candidates` under `data`.

    Raises DatasetMissing without the first, DatasetMalformed for readings of other nodules.
    """
    lidc, readers, luna = data / "lidc-nodules", data / "lidc-readers", data / "luna-candidates"
    beside = [*(readers / name for name in lidc_readers.FILES), luna / "patches.npz"]
    files = [lidc / "nodules.csv", lidc / "patches.npz"] + [p for p in beside if p.is_file()]
    if missing := [p.name for p in files if not p.is_file()]:
        raise DatasetMissing(
            found=f"no {', '.join(missing)} in {lidc}",
            expected="lidc-nodules/nodules.csv and lidc-nodules/patches.npz",
            remedy="Point --data at the folder that holds lidc-nodules.",
        )
    candidates = read_candidates(luna) if (luna / "patches.npz").is_file() else ()
    nodules = read_nodules(lidc)
    if (readers / lidc_readers.FILES[0]).is_file():
        nodules = lidc_readers.with_readers(nodules, readers)
    digests = {p.name: _digest(f for f in files if f.parent == p) for p in (lidc, readers, luna)}
    return Dataset(nodules, candidates, tuple((n, d) for n, d in digests.items() if d))


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
