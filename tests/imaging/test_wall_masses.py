"""Masses of 20 to 60 mm on the walls of the lungs: inside the mask, found, and one whichever point of them is asked."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.candidates import LARGE_MM, Candidate, find_candidates, large_candidate_at
from app.imaging.ct import CTSlice
from app.imaging.lung_closing import closed
from app.imaging.lungs import segment_lungs
from app.imaging.read import read_slice
from app.imaging.volume_candidates import find_volume_candidates
from app.imaging.volume_lungs import segment_volume
from phantoms.lung_volumes import PIXEL_MM, Ball, chest_volume, slice_of
from phantoms.slices import Disc, chest

LATERAL_MM, MEDIAL_MM, SUNK_MM = -127.0, -17.0, 4.0  # the edges of the right lung, and how deep a mass sits in its wall
DIAMETERS_MM = [20.0, 28.0, 40.0, 50.0, 60.0]


def on_wall(wall: str, diameter_mm: float) -> Disc:
    out_mm = diameter_mm / 2 - SUNK_MM
    x_mm = LATERAL_MM + out_mm if wall == "pleura" else MEDIAL_MM - out_mm
    return Disc((127.5 + x_mm / PIXEL_MM, 124.0), diameter_mm)


def holding(candidates: tuple[Candidate, ...], ct_slice: CTSlice, point_px: tuple[float, float]) -> list[Candidate]:
    across = ct_slice.spacing_mm[1]
    return [c for c in candidates if math.dist(c.centre_px, point_px) * across <= c.diameter_mm / 2]


@pytest.mark.parametrize("diameter_mm", DIAMETERS_MM)
@pytest.mark.parametrize("wall", ["pleura", "mediastinum"])
def test_a_mass_on_the_wall_is_in_the_mask_and_found(wall: str, diameter_mm: float) -> None:
    mass = on_wall(wall, diameter_mm)
    ct_slice = slice_of(chest([mass]))
    lungs = segment_lungs(ct_slice)
    assert lungs[round(mass.centre_px[1]), round(mass.centre_px[0])]
    found = holding(find_candidates(ct_slice, lungs), ct_slice, mass.centre_px)
    assert found
    assert {c.zoom for c in found if c.diameter_mm > LARGE_MM} <= {2.0}
    assert not lungs[124, 127]  # the mediastinum
    assert not lungs[127, 31]  # the rib


@pytest.mark.parametrize("diameter_mm", [30.0, 40.0, 56.0])
@pytest.mark.parametrize("wall", ["pleura", "mediastinum"])
def test_every_point_of_a_mass_leads_to_one_candidate(wall: str, diameter_mm: float) -> None:
    mass = on_wall(wall, diameter_mm)
    ct_slice = slice_of(chest([mass]))
    lungs = segment_lungs(ct_slice)
    radius_px = 0.8 * diameter_mm / 2 / PIXEL_MM
    angles = np.arange(8) * np.pi / 4
    points = [
        (mass.centre_px[0] + radius_px * math.cos(a), mass.centre_px[1] + radius_px * math.sin(a)) for a in angles
    ]
    found = {large_candidate_at(ct_slice, lungs, point) for point in (mass.centre_px, *points)}
    assert len(found) == 1
    (candidate,) = found
    assert candidate is not None
    assert candidate.zoom == 2.0
    assert math.dist(candidate.centre_px, mass.centre_px) * PIXEL_MM < diameter_mm / 4


def test_there_is_no_large_candidate_in_an_empty_lung_or_at_a_small_nodule() -> None:
    small = Disc((74.0, 120.0), 12.0)
    ct_slice = slice_of(chest([small]))
    assert large_candidate_at(ct_slice, segment_lungs(ct_slice), small.centre_px) is None
    nothing = np.zeros((256, 256), np.bool_)
    assert large_candidate_at(ct_slice, nothing, small.centre_px) is None


@pytest.mark.parametrize("diameter_mm", [24.0, 40.0, 56.0])
@pytest.mark.parametrize("wall", ["pleura", "diaphragm"])
def test_a_mass_on_a_wall_of_a_series_is_found(wall: str, diameter_mm: float) -> None:
    covered, slice_mm = 4, 2.5
    centre_px = on_wall("pleura", diameter_mm).centre_px if wall == "pleura" else (74.0, 120.0)
    height_mm = 75.0 if wall == "pleura" else covered * slice_mm + diameter_mm / 2 - SUNK_MM
    volume = chest_volume([Ball(centre_px, height_mm, diameter_mm)], covered=(covered, 4))
    candidates = find_volume_candidates(volume, segment_volume(volume))
    offsets_mm = [
        math.hypot(math.dist(c.centre_px, centre_px) * PIXEL_MM, c.slice_position * slice_mm - height_mm)
        for c in candidates
    ]
    assert min(offsets_mm) < diameter_mm / 4
    nearest = candidates[int(np.argmin(offsets_mm))]
    assert nearest.zoom == (2.0 if nearest.diameter_mm > LARGE_MM else 1.0)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(20, 140), st.integers(20, 140), st.integers(3, 60)), min_size=1, max_size=5),
    pixel_mm=st.sampled_from([1.4, 2.8]),
)
def test_closing_loses_nothing_and_stays_in_the_box(parts: list[tuple[int, int, int]], pixel_mm: float) -> None:
    drawn = np.zeros((160, 160), np.uint8)
    for column, row, radius in parts:
        cv2.circle(drawn, (column, row), radius, 1, cv2.FILLED)
    count, labels = cv2.connectedComponents(drawn)
    lungs = closed(np.asarray(labels, np.int32), [[label] for label in range(1, count)], pixel_mm)
    assert set(np.unique(lungs)) <= {0, 1}
    assert not (drawn & ~lungs & 1).any()
    x, y, width, height = cv2.boundingRect(drawn)
    outside = lungs.copy()
    outside[y : y + height, x : x + width] = 0
    assert not outside.any()


def test_what_is_thinner_than_the_pixels_of_the_closing_is_kept() -> None:
    thin = np.zeros((40, 40), np.int32)
    thin[10, 11] = thin[11, 10] = 1
    assert np.array_equal(closed(thin, [[1]], 1.4), thin)


def marked(folder: Path) -> list[tuple[str, str, tuple[float, float]]]:
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["column"]]
    return [(row["file"], row["reading"], (float(row["column"]), float(row["row"]))) for row in rows]


def test_every_mass_of_the_chest_slices_is_in_the_mask_and_found(shared_data: Path) -> None:
    folder = shared_data / "chest-slices"
    seen = 0
    for file, reading, point_px in marked(folder):
        if "mass" not in reading and "nodule" not in reading:
            continue
        ct_slice = read_slice((folder / file).read_bytes())
        lungs = segment_lungs(ct_slice)
        assert lungs[round(point_px[1]), round(point_px[0])], file
        assert holding(find_candidates(ct_slice, lungs), ct_slice, point_px), file
        seen += 1
    assert seen == 4
