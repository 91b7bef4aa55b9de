"""Lungs that hold no air in part are remarked with the place; those that do are not."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, Orientation, QualityNote
from app.imaging.lungs import segment_lungs
from app.imaging.quality import check_lungs, check_volume_lungs
from app.imaging.read import read_slice
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import segment_volume
from phantoms.lung_volumes import chest_volume, series_volume, slice_of, volume_of
from phantoms.slices import BODY_HU, LUNG_HU, chest, ribs

MAX_FLAGGED = 0.2  # of plain slices
FLUID_ROW = 145  # behind it the lung of the phantom is a quarter of its area


def notes_of(ct_slice: CTSlice) -> list[QualityNote]:
    return [n for n in check_lungs(ct_slice, segment_lungs(ct_slice)) if n.code == "opacified_lung"]


def with_fluid(hu: NDArray[np.int16], columns: slice) -> NDArray[np.int16]:
    """The lung in some columns filled behind FLUID_ROW."""
    filled = hu.copy()
    part = filled[..., FLUID_ROW:, columns]
    part[part < (LUNG_HU + BODY_HU) / 2] = BODY_HU
    return filled


def ribbed() -> NDArray[np.int16]:
    return chest(ribs())


def test_aerated_lungs_are_not_remarked() -> None:
    assert notes_of(slice_of(ribbed())) == []


@pytest.mark.parametrize(("columns", "name"), [(np.s_[40:125], "right lung"), (np.s_[130:215], "left lung")])
def test_fluid_behind_a_lung_is_remarked_with_its_place(columns: slice, name: str) -> None:
    (note,) = notes_of(slice_of(with_fluid(ribbed(), columns)))
    assert note.bars_normal
    assert note.severity == "warning"
    assert name in note.message
    place = re.search(r"column (\d+), row (\d+)", note.message)
    assert place
    column, row = map(int, place.groups())
    assert columns.start < column < columns.stop
    assert row > FLUID_ROW - 10


def test_sides_are_the_patients() -> None:
    turned = Orientation((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    plain = slice_of(with_fluid(ribbed(), np.s_[40:125]))
    (note,) = notes_of(CTSlice(plain.hu, plain.spacing_mm, plain.source, orientation=turned))
    assert "left lung" in note.message


def test_a_lung_without_air_is_remarked() -> None:
    hu = ribbed()
    hu[:, 128:][hu[:, 128:] == np.clip(hu[:, 128:], -950, -500)] = BODY_HU
    (note,) = notes_of(slice_of(hu))
    assert "left lung" in note.message


def test_a_lung_denser_than_the_other_is_remarked() -> None:
    hu = ribbed()
    right = hu[:, :128]
    right[(right > -950) & (right < -700)] += 150
    (note,) = notes_of(slice_of(hu))
    assert "right lung" in note.message
    assert "HU" in note.message


def test_fluid_in_a_series_is_remarked_by_its_volume() -> None:
    slices = 40
    plain = chest_volume(slices=slices)
    hu = plain.hu.copy()
    hu[4:-4] = ribbed()
    assert check_volume_lungs(segment_volume(volume_of(hu, plain.spacing_mm))) == ()
    (note,) = check_volume_lungs(segment_volume(volume_of(with_fluid(hu, np.s_[40:125]), plain.spacing_mm)))
    assert (note.code, note.bars_normal) == ("opacified_lung", True)
    assert "right lung" in note.message
    assert " ml " in note.message
    assert "of slice " in note.message


def readings(folder: Path) -> list[dict[str, str]]:
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_sick_lungs_of_the_chest_slices_are_remarked_and_few_plain_ones(shared_data: Path) -> None:
    folder = shared_data / "chest-slices"
    flagged: dict[bool, list[bool]] = {True: [], False: []}
    for row in readings(folder):
        sick = "consolidation" in row["reading"] or "diffuse" in row["reading"]
        if sick or (row["region"] == "chest" and not row["reading"]):
            flagged[sick].append(bool(notes_of(read_slice((folder / row["file"]).read_bytes()))))
    assert len(flagged[True]) == 3
    assert all(flagged[True])
    assert np.mean(flagged[False]) <= MAX_FLAGGED


@pytest.mark.parametrize("series", ["lidc-0012", "cptac-c3n-00247", "lidc-0001"])
def test_few_slices_of_real_series_are_remarked_and_none_of_the_series(shared_data: Path, series: str) -> None:
    volume = series_volume(shared_data / "series" / series)
    assert check_volume_lungs(segment_volume(volume)) == ()
    shown = [check_lungs(s, segment_lungs(s)) for s in map(volume.slice_at, range(0, len(volume), 8))]
    judged = [notes for notes in shown if "no_lung" not in {n.code for n in notes}]
    assert np.mean([any(n.bars_normal for n in notes) for notes in judged]) <= MAX_FLAGGED


@pytest.mark.parametrize(("first", "after"), [(60, 70), (60, 63)])
def test_slices_from_the_middle_of_a_chest_are_not_normal(shared_data: Path, first: int, after: int) -> None:
    whole = series_volume(shared_data / "series" / "lidc-0012")
    here = slice(first, after)
    part = CTVolume(whole.hu[here], whole.spacing_mm, whole.orientation, whole.positions_mm[here], whole.sources[here])
    notes = check_volume_lungs(segment_volume(part))
    assert "lungs_not_whole" in {n.code for n in notes if n.bars_normal}
