"""Nodules planted through all slices of the whole scans, of their own size, reduced and enlarged, and judged as series.

Up to PER_SERIES are planted into one series, BETWEEN_MM and more apart: each is found or missed by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.volume import CTVolume
from app.inference.prediction import Finding
from benchmarks.scan.answers import Frozen, Judge, best_score, is_suspected
from benchmarks.scan.cubes import Cube
from benchmarks.scan.known import KnownScan
from benchmarks.scan.pictures import Sheet
from benchmarks.scan.room import Room, Setting
from benchmarks.scan.volume_planting import VolumeGraft, Voxel, graft_cube, plant_cube
from training.data.nodules import INDETERMINATE

SEED: Final = 20261130
PER_SERIES: Final = 4
BETWEEN_MM: Final = 30.0  # the surfaces of two in one series
MOST_PLACES: Final = 20  # tried for each in the series that there are
MAX_WALL: Final = {"free": 0.2, "wall": 0.35}  # of what surrounds a source; more would come along
SMALL_MM: Final = 4.5  # what the smallest sources are reduced to
SMALLEST_SOURCE_MM: Final = 7.2
MASSES_MM: Final = {"free": (30.0, 40.0), "wall": (30.0, 40.0, 50.0, 60.0)}  # what large sources are enlarged to
MASS_SOURCE_MM: Final = 15.0  # none is enlarged more than four times
SOLID: Final = 4.0  # mean rating
MASS_TEXTURE: Final = 2.5  # mean rating; below is ground glass, which no mass is
MIN_HIT_MM: Final = 4.0  # a finding is on a planting within its radius, and within this
BANDS_MM: Final = ((4, 6), (6, 10), (10, 20), (20, 32.5), (32.5, 45), (45, 62.5))


class SeriesPlanting(Frozen):
    """A nodule planted at (column, row, slice), `enlarged` so many times, and what was said there.

    `score` is that of the finding on it, None without one. `median_rating` is the readers' suspicion of the source,
    `texture` their mean rating of it.
    """

    scan: str
    network: str
    series: int
    nodule_id: int
    setting: Setting
    diameter_mm: float
    enlarged: float
    median_rating: float
    texture: float
    place: tuple[int, int, int]
    listed: bool
    suspected: bool
    score: float | None


class PlantedSeries(Frozen):
    """All plantings into one scan, in how many series, and how many were left out for want of room or for the wall
    around their source."""

    scan: str
    plantings: tuple[SeriesPlanting, ...]
    series: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What is to be planted."""

    cube: Cube
    setting: Setting
    enlarged: float = 1.0

    @property
    def diameter_mm(self) -> float:
        """As planted."""
        return self.cube.diameter_mm * self.enlarged


@dataclass(frozen=True, slots=True, eq=False)
class Sown:
    """A wish at its place."""

    wish: Wish
    graft: VolumeGraft
    place: Voxel
    position_mm: NDArray[np.float64]

    def apart_mm(self, other: Sown) -> float:
        """Between the surfaces."""
        between = float(np.linalg.norm(self.position_mm - other.position_mm))
        return between - (self.wish.diameter_mm + other.wish.diameter_mm) / 2


def wishes(cubes: Sequence[Cube]) -> list[Wish]:
    """Every source as it is, free and on the wall; the smallest reduced, the largest enlarged; large ones first."""
    settings: tuple[Setting, Setting] = ("free", "wall")
    wanted = [Wish(cube, setting) for cube in cubes for setting in settings]
    wanted += [Wish(c, "free", SMALL_MM / c.diameter_mm) for c in cubes if c.diameter_mm < SMALLEST_SOURCE_MM]
    large = [c for c in cubes if c.is_whole and c.diameter_mm >= MASS_SOURCE_MM and c.nodule.traits[-1] >= MASS_TEXTURE]
    wanted += [Wish(c, s, mm / c.diameter_mm) for c in large for s in settings for mm in MASSES_MM[s]]
    return sorted(wanted, key=lambda wish: -wish.diameter_mm)


def measure(known: KnownScan, cubes: Sequence[Cube], judge: Judge, sheet: Sheet, most: int | None) -> PlantedSeries:
    """Plant the cubes into a scan and judge the series; `most` series at most, to try it out."""
    sown, left_out = sow(known, wishes(cubes))
    plantings: list[SeriesPlanting] = []
    for number, group in enumerate(tqdm(sown[:most], desc=f"series of {known.name}", mininterval=10)):
        plantings += _judged(known, judge, number, group, sheet)
    return PlantedSeries(scan=known.name, plantings=tuple(plantings), series=len(sown[:most]), left_out=dict(left_out))


def sow(known: KnownScan, wanted: Sequence[Wish]) -> tuple[list[list[Sown]], Counter[str]]:
    """A place for every wish, in as few series as will do; the same every time. Also what was left out, and why."""
    room, spacing_mm = Room.of(known.scan), known.scan.volume.spacing_mm
    series: list[list[Sown]] = []
    left_out: Counter[str] = Counter()
    for wish in wanted:
        graft = graft_cube(wish.cube, spacing_mm, wish.enlarged)
        if graft.wall > MAX_WALL[wish.setting]:
            left_out[f"{wish.setting}: wall around the source"] += 1
        elif not _sown(series, room, wish, graft):
            left_out[f"{wish.setting}: no room"] += 1
    return series, left_out


def _sown(series: list[list[Sown]], room: Room, wish: Wish, graft: VolumeGraft) -> bool:
    """Put it into the first series with room for it, or into a new one."""
    rng = np.random.default_rng([SEED, wish.cube.nodule.nodule_id, round(100 * wish.enlarged), wish.setting == "wall"])
    radius_mm = wish.diameter_mm / 2
    free = wish.setting == "free"
    found = room.free_places(graft.weight > 0, radius_mm, rng) if free else room.wall_places(graft.core, radius_mm, rng)
    places = list(islice(found, MOST_PLACES))
    for group in series:
        for place in places if len(group) < PER_SERIES else ():
            sown = Sown(wish, graft, place, room.patient_mm(place))
            if all(sown.apart_mm(other) >= BETWEEN_MM for other in group):
                group.append(sown)
                return True
    if places:
        series.append([Sown(wish, graft, places[0], room.patient_mm(places[0]))])
    return bool(places)


def _judged(
    known: KnownScan, judge: Judge, number: int, group: Sequence[Sown], sheet: Sheet
) -> Iterator[SeriesPlanting]:
    hu = known.scan.volume.hu
    for sown in group:
        hu = plant_cube(hu, sown.graft, sown.place)
    volume = replace(known.scan.volume, hu=hu)
    said = judge.in_series(volume)
    for sown in group:
        found = [f for f in said.findings if is_on(volume, f, sown)]
        index, row, column = sown.place
        suspected = any(is_suspected(f) for f in found)
        if not suspected:
            title = f"{known.name[:9]} {sown.wish.diameter_mm:.0f}mm {sown.wish.setting} {'listed' if found else ''}"
            sheet.missed(title, volume.slice_at(index), (float(column), float(row)))
        nodule = sown.wish.cube.nodule
        yield SeriesPlanting(
            scan=known.name,
            network=judge.name,
            series=number,
            nodule_id=nodule.nodule_id,
            setting=sown.wish.setting,
            diameter_mm=round(sown.wish.diameter_mm, 1),
            enlarged=round(sown.wish.enlarged, 2),
            median_rating=nodule.median_malignancy,
            texture=round(nodule.traits[-1], 2),
            place=(column, row, index),
            listed=bool(found),
            suspected=suspected,
            score=best_score(found),
        )


def is_target(planting: SeriesPlanting) -> bool:
    """Suspicious and solid, of 6 mm and more, in its own size."""
    suspicious = planting.median_rating > INDETERMINATE and planting.texture >= SOLID
    return planting.enlarged == 1 and suspicious and planting.diameter_mm >= 6


def is_on(volume: CTVolume, finding: Finding, sown: Sown) -> bool:
    """Whether a finding's middle lies within the planting's radius, or MIN_HIT_MM."""
    index = 0 if finding.slice is None else finding.slice.index
    apart = np.subtract((index, finding.center_px[1], finding.center_px[0]), sown.place) * volume.spacing_mm
    return bool(np.linalg.norm(apart) <= max(sown.wish.diameter_mm / 2, MIN_HIT_MM))
