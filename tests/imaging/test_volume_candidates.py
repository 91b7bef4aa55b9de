"""Candidates in volumes: balls of known place and size, and the nodules that the readers marked in one real series."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.imaging import volume_candidates
from app.imaging.memory import mapped_zeros
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import MAX_PER_SLICE, VolumeCandidate, find_volume_candidates
from app.imaging.volume_lungs import segment_volume
from phantoms.lung_volumes import Ball, chest_volume, series_volume, volume_of

CENTRE_PX = (74.0, 120.0)
TUMOUR = (110.0, 171.0, -193.0)  # column, row, z in mm: read by the maintainers, no radiologist


def candidates_of(volume: CTVolume) -> tuple[VolumeCandidate, ...]:
    return find_volume_candidates(volume, segment_volume(volume))


def distance_mm(volume: CTVolume, candidate: VolumeCandidate, point: tuple[float, float], height_mm: float) -> float:
    slice_mm, row_mm, column_mm = volume.spacing_mm
    columns, rows = candidate.centre_px[0] - point[0], candidate.centre_px[1] - point[1]
    return math.hypot(columns * column_mm, rows * row_mm, candidate.slice_position * slice_mm - height_mm)


def nearest(volume: CTVolume, ball: Ball) -> tuple[float, VolumeCandidate]:
    found = [(distance_mm(volume, c, ball.centre_px, ball.height_mm), c) for c in candidates_of(volume)]
    return min(found, key=lambda entry: entry[0])


@pytest.mark.parametrize("diameter_mm", [6.0, 20.0])
@pytest.mark.parametrize(("slice_mm", "slices"), [(0.5, 200), (1.25, 90), (2.5, 50), (5.0, 24)])
def test_a_ball_is_found_with_its_place_and_size(diameter_mm: float, slice_mm: float, slices: int) -> None:
    ball = Ball(CENTRE_PX, 56.0, diameter_mm)
    distance, candidate = nearest(chest_volume([ball], slice_mm=slice_mm, slices=slices, covered=(0, 0)), ball)
    assert distance < max(2.0, 0.12 * diameter_mm)
    assert candidate.diameter_mm == pytest.approx(diameter_mm, rel=0.45)
    assert candidate.slice_index == round(candidate.slice_position)


@settings(deadline=None, max_examples=5)
@given(
    column=st.floats(66, 90),
    row=st.floats(95, 150),
    height_mm=st.floats(30, 90),
    diameter_mm=st.floats(6, 25),
    hu=st.sampled_from([-550.0, -300.0, 30.0, 800.0]),
)
def test_any_ball_in_the_lung_is_found(
    column: float, row: float, height_mm: float, diameter_mm: float, hu: float
) -> None:
    ball = Ball((column, row), height_mm, diameter_mm, hu)
    distance, _ = nearest(chest_volume([ball], slices=48), ball)
    assert distance < max(2.5, 0.15 * diameter_mm)


def test_a_ball_on_the_pleura_and_one_on_a_vessel_are_found() -> None:
    vessel = [Ball((170.0, 120.0), z, 5.0, 20.0) for z in np.arange(10, 140, 1.5)]
    pleural, hanging = Ball((39.0, 124.0), 60.0, 10.0), Ball((174.0, 120.0), 70.0, 9.0)
    volume = chest_volume([*vessel, pleural, hanging])
    for ball in (pleural, hanging):
        assert nearest(volume, ball)[0] < ball.diameter_mm / 2
    found = candidates_of(volume)
    along = [c for c in found if distance_mm(volume, c, (170.0, 120.0), c.slice_position * 2.5) < 3]
    # Between its lower end and the ball nothing on the vessel looks like a nodule.
    assert not [c for c in along if 30 < c.slice_position * 2.5 < 55 and c.response_hu > 250]


def test_without_lung_there_are_none() -> None:
    assert candidates_of(chest_volume(slices=12, covered=(6, 6))) == ()


def test_progress_counts_slices_and_its_error_ends_the_search() -> None:
    volume = chest_volume([Ball(CENTRE_PX, 60.0, 10.0)], slices=50)
    lungs, told = segment_volume(volume), list[int]()
    candidates = find_volume_candidates(volume, lungs, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(volume)
    assert candidates == find_volume_candidates(volume, lungs)

    def stop(done: int) -> None:
        raise InterruptedError(f"after {done}")

    with pytest.raises(InterruptedError, match=f"after {told[0]}"):
        find_volume_candidates(volume, lungs, progress=stop)


@pytest.mark.parametrize("slice_mm", [0.5, 1.25, 2.5, 5.0])
def test_what_lies_above_does_not_change_what_is_found(slice_mm: float) -> None:
    slices = round(100 / slice_mm)
    volume = chest_volume([Ball(CENTRE_PX, 50.0, 12.0)], slice_mm=slice_mm, slices=slices, covered=(0, 0))
    hu = np.concatenate([volume.hu, np.repeat(volume.hu[-1:], round(33 / slice_mm), axis=0)])
    there, alone = candidates_of(volume_of(hu, volume.spacing_mm)), candidates_of(volume)
    strongest, longer = alone[0], there[0]
    assert longer.response_hu == pytest.approx(strongest.response_hu, abs=0.5)
    assert longer.slice_position == pytest.approx(strongest.slice_position)
    assert longer.centre_px == pytest.approx(strongest.centre_px)


def test_memory_grows_by_a_bit_a_pixel_with_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: list[int] = []

    def counted(shape: tuple[int, ...], dtype: type[np.float32]) -> NDArray[np.float32]:
        mapped.append(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return mapped_zeros(shape, dtype)

    monkeypatch.setattr(volume_candidates, "mapped_zeros", counted)

    def peak_bytes(slices: int) -> int:
        volume = chest_volume([Ball(CENTRE_PX, 60.0, 10.0)], slices=slices)
        lungs = segment_volume(volume)
        tracemalloc.start()
        try:
            assert find_volume_candidates(volume, lungs)
            return tracemalloc.get_traced_memory()[1] + mapped.pop() - lungs.packed.nbytes
        finally:
            tracemalloc.stop()

    assert peak_bytes(160) < 1.1 * peak_bytes(60)


# Diameter of the readers' largest outline, then (column, row, slice index) of its middle: the nine nodules marked by
# at least three readers and of at least 4 mm, by `benchmarks/candidates.py`.
NODULES = (
    (7.2, 390, 216, 53),
    (12.4, 386, 296, 64),
    (7.8, 365, 216, 67),
    (7.7, 314, 200, 71),
    (7.8, 361, 188, 78),
    (7.3, 335, 194, 79),
    (6.1, 325, 170, 79.5),
    (6.6, 135, 205, 45),
    (6.3, 164, 366, 57),
)


def test_every_marked_nodule_of_a_real_series_is_a_candidate(shared_data: Path) -> None:
    volume = series_volume(shared_data / "series" / "lidc-0012")
    candidates = candidates_of(volume)
    assert 500 < len(candidates) <= MAX_PER_SLICE * len(volume)
    strong = candidates[:400]
    for diameter_mm, column, row, index in NODULES:
        distances = [distance_mm(volume, c, (column, row), index * volume.spacing_mm[0]) for c in strong]
        assert min(distances) < diameter_mm / 2


def test_part_of_a_real_series_is_searched_as_closely_as_the_whole(shared_data: Path) -> None:
    volume = series_volume(shared_data / "series" / "lidc-0012")
    first, after = 64, 96  # full of lung
    part = CTVolume(
        volume.hu[first:after],
        volume.spacing_mm,
        volume.orientation,
        volume.positions_mm[first:after],
        volume.sources[first:after],
    )
    here = [c for c in candidates_of(volume) if first <= c.slice_index < after]
    assert len(candidates_of(part)) == pytest.approx(len(here), rel=0.05)


def test_the_tumour_on_the_diaphragm_is_among_the_strongest(shared_data: Path) -> None:
    volume = series_volume(shared_data / "series" / "cptac-c3n-00247")
    column, row, z_mm = TUMOUR
    height_mm = z_mm - float(volume.heights_mm[0])
    strong = candidates_of(volume)[:20]
    assert min(distance_mm(volume, c, (column, row), height_mm) for c in strong) < 8
