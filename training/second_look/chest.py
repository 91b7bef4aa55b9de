"""Single chest slices with a table of readings: masses, and false findings of slices that show none."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from app.imaging.candidates import find_candidates
from app.imaging.ct import CTSlice
from app.imaging.lungs import segment_lungs
from app.imaging.patches import PatchSpec
from app.imaging.read import read_slice
from training.second_look.config import ChestSlicesConfig, MiningConfig
from training.second_look.false_findings import Ask, likely
from training.second_look.samples import Label, Place, Sample

TABLE = "slices.csv"


@dataclass(frozen=True, slots=True, eq=False)
class ChestSlice:
    """A slice of the table: `part` says which networks may learn from its patient, and what they learn."""

    file: str
    patient: str
    part: int
    region: str
    reading: str
    masses: tuple[Sample, ...]
    negatives: tuple[Sample, ...]


def read_chest_slices(
    data: Path, config: ChestSlicesConfig | None, mining: MiningConfig, ask: Ask, spec: PatchSpec
) -> tuple[ChestSlice, ...]:
    """Every slice of the table; none where the configuration names no table."""
    if config is None:
        return ()
    folder = data / config.folder
    with (folder / TABLE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    part_of = patient_parts([row["patient"] for row in rows], config.parts)
    return tuple(_read(folder, row, part_of[row["patient"]], config, mining, ask, spec) for row in rows)


def patient_parts(patients: list[str], parts: int) -> dict[str, int]:
    """Patients, sorted, dealt out in turn."""
    return {patient: k % parts for k, patient in enumerate(sorted(set(patients)))}


def _read(
    folder: Path,
    row: dict[str, str],
    part: int,
    config: ChestSlicesConfig,
    mining: MiningConfig,
    ask: Ask,
    spec: PatchSpec,
) -> ChestSlice:
    masses: tuple[Sample, ...] = ()
    negatives: tuple[Sample, ...] = ()
    region, reading = row["region"], row["reading"]
    teaches = region in config.regions and row["file"] not in config.unclear
    if teaches and reading in config.masses:
        masses = _masses(read_slice((folder / row["file"]).read_bytes()), row, config)
    elif teaches and reading in config.negatives:
        negatives = _negatives(read_slice((folder / row["file"]).read_bytes()), mining, ask, spec)
    return ChestSlice(row["file"], row["patient"], part, region, reading, masses, negatives)


def _masses(ct_slice: CTSlice, row: dict[str, str], config: ChestSlicesConfig) -> tuple[Sample, ...]:
    centre_px = (float(row["column"]), float(row["row"]))
    return tuple(
        Sample(Place(ct_slice.hu, ct_slice.spacing_mm, centre_px, zoom), Label(1.0, 1.0), config.mass_mm / 2)
        for zoom in config.zooms
    )


def _negatives(ct_slice: CTSlice, mining: MiningConfig, ask: Ask, spec: PatchSpec) -> tuple[Sample, ...]:
    candidates = find_candidates(ct_slice, segment_lungs(ct_slice))
    return tuple(
        Sample(
            Place(ct_slice.hu, ct_slice.spacing_mm, candidates[k].centre_px, candidates[k].zoom),
            Label(0.0, 0.0),
            often=1.0 if score > mining.easy_below else mining.easy,
        )
        for k, score in likely(ct_slice, candidates, mining, ask, spec)
    )
