"""Every reader's ratings of every nodule, as arrays."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.nodules import TRAIT_SCALES

RATED: Final = ("malignancy", *TRAIT_SCALES)  # the columns of every array of ratings
Ratings = Mapping[int, NDArray[np.float64]]  # nodule_id to (readers, 8)


def read_ratings(table: Path) -> Ratings:
    """Every reader's ratings from a `nodules.csv` with `;` between readers; empty when there is no such table."""
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not set(RATED) <= set(rows[0]):
        return {}
    return {int(row["nodule_id"]): _array(row) for row in rows}


def _array(row: Mapping[str, str]) -> NDArray[np.float64]:
    return np.array([[float(value) for value in row[name].split(";")] for name in RATED]).T
