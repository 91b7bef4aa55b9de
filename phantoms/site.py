"""A generated site: chest slices as DICOM, two nodules each, and the table that names them. No patient."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from phantoms.slices import Disc, chest, derived_uid, dicom

SIZE_PX: Final = 512
SPACING_MM: Final = 0.7
PLACES_PX: Final = ((150, 235), (362, 270))  # one in each lung
FOLDS: Final = 3  # fewer networks than the usual five, for a table to try things on
TABLE: Final = "nodules.csv"
COLUMNS: Final = ("image", "column", "row", "patient", "label", "diameter_mm", "fold", "sex")
SCANNERS: Final = ("Phantom A", "Phantom B")


def write_site(folder: Path, patients: int, seed: int = 11) -> Path:
    """Write `patients` slices and their table into `folder` and return the table's path.

    Of three patients one has two cancers, one has one and one has none; cancers are larger, with overlap. `sex` is a
    column that nothing learns from.
    """
    rng, rows = np.random.default_rng(seed), []
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    for k in range(patients):
        name, discs = f"scans/{k:03d}.dcm", []
        for side, place in enumerate(PLACES_PX):
            cancer = side < 2 - k % 3
            diameter = float(rng.uniform(5, 20) if cancer else rng.uniform(3.5, 6.5))
            discs.append(Disc(place, diameter, hu=float(rng.normal(20, 30))))
            label = "cancer" if cancer else "benign"
            rows.append((name, *place, f"P{k:03d}", label, f"{diameter:.1f}", k // 3 % FOLDS, "FM"[k // 2 % 2]))
        uid = derived_uid(f"site {seed} {k}")
        hu = chest(discs, size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=seed * 1000 + k)
        (folder / name).write_bytes(
            dicom(
                hu,
                spacing_mm=SPACING_MM,
                SeriesInstanceUID=uid,
                SOPInstanceUID=f"{uid}.1",
                Manufacturer=SCANNERS[k % 2],
            )
        )
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder / TABLE
