"""Nodules of held-out folds planted on single slices: free ones as they are, and large ones enlarged onto the wall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from tqdm import tqdm

from app.imaging.ct import CTSlice
from app.inference.prediction import Prediction
from app.inference.vocabulary import Decision
from benchmarks.planted_scans import MIN_PLANTED_MM, TRIED_SLICES, known_pixels
from benchmarks.planting import LUNG_LIKE_HU, MAX_WALL, Graft, find_place, graft, plant, wall_share
from benchmarks.scan.answers import Frozen, Judge, best_score, findings_at, is_suspected
from benchmarks.scan.known import KnownScan
from benchmarks.scan.networks import opened
from benchmarks.scan.pictures import Sheet
from benchmarks.scan.room import Room
from benchmarks.scan.volume_planting import Mask
from training.data.nodules import Nodule

SEED: Final = 20261130
MIN_READERS: Final = 3  # what fewer call a nodule is no truth
MIN_ROOM_CM2: Final = 60.0  # of lung on a slice that is planted
MIN_HIT_MM: Final = 4.0
MASS_SOURCE_MM: Final = 20.0
MASS_TEXTURE: Final = 2.5  # mean rating; below is ground glass, which no mass is
MASSES_MM: Final = (35.0, 45.0, 60.0)

Kind = Literal["nodule", "mass"]


class SlicePlanting(Frozen):
    """A nodule planted at (column, row) of a slice, `enlarged` so many times, and what was said of that slice.

    `listed` and `suspected` are of a finding on it. `open_score` is the highest score on it to which the classifier
    does not object, however low; None without one.
    """

    scan: str
    network: str
    kind: Kind
    nodule_id: int
    patient: str
    diameter_mm: float
    enlarged: float
    median_rating: float
    texture: float
    readers: int
    slice: int
    place: tuple[int, int]
    decision: Decision
    reasons: tuple[str, ...]
    listed: bool
    suspected: bool
    open_score: float | None


class PlantedSlices(Frozen):
    """All plantings on one scan's slices, and how many found no room.

    `background` holds, for each slice without lesion, the highest score to which the classifier does not object.
    """

    scan: str
    plantings: tuple[SlicePlanting, ...]
    left_out: int
    background: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sown:
    """A nodule of this size on a slice."""

    nodule: Nodule
    kind: Kind
    enlarged: float
    ct_slice: CTSlice
    index: int
    place: tuple[int, int]


def measure(known: KnownScan, nodules: Sequence[Nodule], judge: Judge, sheet: Sheet, most: int | None) -> PlantedSlices:
    """Plant what will do of `nodules` on slices of a scan and judge each; `most` of each kind, to try it out."""
    room = Room.of(known.scan)
    free = [n for n in nodules if is_fit(n)][:most]
    large = [n for n in nodules if is_mass_source(n)][:most]
    wanted = len(free) + len(large) * len(MASSES_MM)
    each = tqdm(_sown(known, room, free, large), total=wanted, desc=f"slices of {known.name}", mininterval=10)
    plantings = tuple(_judged(known, sown, judge, sheet) for sown in each)
    shown = opened(judge)
    background = tuple(_open_score(shown.on_slice(known.slice_at(index))) for index in known.free[:most])
    return PlantedSlices(scan=known.name, plantings=plantings, left_out=wanted - len(plantings), background=background)


def is_fit(nodule: Nodule) -> bool:
    """Whether it is planted as it is: it lies free, and readers agree on what it is."""
    large, agreed = nodule.diameter_mm >= MIN_PLANTED_MM, nodule.suspicion != "indeterminate"
    return large and agreed and nodule.readers >= MIN_READERS and wall_share(nodule) <= MAX_WALL


def is_mass_source(nodule: Nodule) -> bool:
    """Whether it is enlarged to a mass."""
    large = nodule.diameter_mm >= MASS_SOURCE_MM and nodule.traits[-1] >= MASS_TEXTURE
    return large and nodule.readers >= MIN_READERS and wall_share(nodule) <= MAX_WALL


def on_wall(ct_slice: CTSlice, grafted: Graft, place: tuple[int, int]) -> CTSlice:
    """The slice with the graft at a (column, row) place, where what is denser stays: a nodule grows onto a wall."""
    planted = plant(ct_slice, grafted, place)
    hu = np.where(ct_slice.hu > LUNG_LIKE_HU, np.maximum(planted.hu, ct_slice.hu), planted.hu)
    return replace(ct_slice, hu=hu.astype(np.float32))


def _sown(known: KnownScan, room: Room, free: Sequence[Nodule], large: Sequence[Nodule]) -> Iterator[Sown]:
    slices = [known.slice_at(k) for k in range(len(known.scan.volume))]
    lungs = {k: lung for k in range(len(slices)) if _cm2(lung := room.lung_at(k), slices[k]) >= MIN_ROOM_CM2}
    allowed = {k: lung & ~known_pixels(known.scan, k, slices[k]) for k, lung in lungs.items()}
    for nodule in free:
        if (sown := _on_a_slice(nodule, slices, allowed)) is not None:
            yield sown
    for nodule in large:
        for wanted_mm in MASSES_MM:
            if (sown := _onto_a_wall(nodule, wanted_mm, slices, room)) is not None:
                yield sown


def _on_a_slice(nodule: Nodule, slices: Sequence[CTSlice], allowed: dict[int, Mask]) -> Sown | None:
    rng = np.random.default_rng([SEED, nodule.nodule_id])
    grafted = graft(nodule, slices[0].spacing_mm[1])
    for index in rng.permutation(list(allowed))[:TRIED_SLICES].tolist():
        if (place := find_place(grafted, slices[index], allowed[index], rng)) is not None:
            return Sown(nodule, "nodule", 1.0, plant(slices[index], grafted, place), index, place)
    return None


def _onto_a_wall(nodule: Nodule, wanted_mm: float, slices: Sequence[CTSlice], room: Room) -> Sown | None:
    rng = np.random.default_rng([SEED, nodule.nodule_id, round(wanted_mm)])
    enlarged = wanted_mm / nodule.diameter_mm
    grafted = graft(replace(nodule, spacing_mm=nodule.spacing_mm * enlarged), slices[0].spacing_mm[1])
    core = grafted.weight >= 1
    for index, row, column in room.wall_places(core[None], wanted_mm / 2, rng):
        place = (column, row)
        return Sown(nodule, "mass", enlarged, on_wall(slices[index], grafted, place), index, place)
    return None


def _judged(known: KnownScan, sown: Sown, judge: Judge, sheet: Sheet) -> SlicePlanting:
    nodule, diameter_mm = sown.nodule, sown.nodule.diameter_mm * sown.enlarged
    reach_mm, at = max(diameter_mm / 2, MIN_HIT_MM), (float(sown.place[0]), float(sown.place[1]))
    said = judge.on_slice(sown.ct_slice)
    found = list(findings_at(said, at, reach_mm))
    suspected = any(is_suspected(f) for f in found)
    if not suspected:
        sheet.missed(f"{known.name[:9]} {sown.kind} {diameter_mm:.0f}mm {said.decision[:6]}", sown.ct_slice, at)
    shown = opened(judge).on_slice(sown.ct_slice)
    return SlicePlanting(
        scan=known.name,
        network=judge.name,
        kind=sown.kind,
        nodule_id=nodule.nodule_id,
        patient=nodule.patient,
        diameter_mm=round(diameter_mm, 1),
        enlarged=round(sown.enlarged, 2),
        median_rating=nodule.median_malignancy,
        texture=round(nodule.traits[-1], 2),
        readers=nodule.readers,
        slice=sown.index,
        place=sown.place,
        decision=said.decision,
        reasons=said.reasons,
        listed=bool(found),
        suspected=suspected,
        open_score=best_score(f for f in findings_at(shown, at, reach_mm) if is_suspected(f)),
    )


def _open_score(said: Prediction) -> float | None:
    return best_score(f for f in said.findings if is_suspected(f))


def _cm2(mask: Mask, ct_slice: CTSlice) -> float:
    return float(mask.sum() * np.prod(ct_slice.spacing_mm) / 100)
