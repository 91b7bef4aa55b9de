"""What is known of the nodules of a data folder beside the data set: to measure by, never to learn from."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from training.data import lidc_readers
from training.data.nodules import DatasetMalformed
from training.data.ratings import Ratings, read_ratings

READERS_FOLDER: Final = "lidc-readers"
RATINGS_TABLE: Final = Path("lidc-nodules") / "nodules.csv"
DIAGNOSES_TABLE: Final = Path("lidc-diagnosis") / "diagnosis.csv"
Diagnosis = Literal["benign", "primary", "metastasis"]
CODES: Final[Mapping[str, Diagnosis | None]] = {"0": None, "1": "benign", "2": "primary", "3": "metastasis"}


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """Every reader's `ratings` (readers, 8) and `outlines`, bool (readers, rows, columns), by nodule, and what became
    of patients: `diagnoses` by their names. Each is empty where it is not known."""

    ratings: Ratings = field(default_factory=dict)
    outlines: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)


def read_references(data: Path) -> References:
    """Read what lies under `data`, where it is laid out as the development data; nothing otherwise."""
    marks = data / READERS_FOLDER
    diagnoses = read_diagnoses(data / DIAGNOSES_TABLE)
    if not marks.is_dir():
        return References(read_ratings(data / RATINGS_TABLE), {}, diagnoses)
    return References(lidc_readers.mark_ratings(marks), lidc_readers.reader_outlines(marks), diagnoses)


def read_diagnoses(table: Path) -> Mapping[str, Diagnosis]:
    """Diagnoses by patient, those not known left out; empty when there is no such table, DatasetMalformed for a code
    that is none of CODES."""
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as stream:
        codes = {row["patient"]: row["diagnosis"] for row in csv.DictReader(stream)}
    if unknown := sorted(set(codes.values()) - set(CODES)):
        raise DatasetMalformed(
            found=f"diagnosis {', '.join(unknown)} in {table.name}",
            expected=f"one of {', '.join(CODES)}",
            remedy="Take the table as it was published.",
        )
    return {patient: known for patient, code in codes.items() if (known := CODES[code]) is not None}
