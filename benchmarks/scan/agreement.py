"""Whether a place, its slice and its series are told the same: every finding, every known lesion, and random places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.ct import PointPx
from app.inference.prediction import Finding, Prediction
from benchmarks.scan.answers import Frozen, Judge, findings_at, lies_at
from benchmarks.scan.known import KnownScan
from benchmarks.scan.pictures import Sheet
from benchmarks.scan.room import Room

SEED: Final = 20261130
EVERY: Final = 3  # slices: of those between, findings are much the same
IN_LUNG: Final = 50  # random places of each scan
IN_MEDIASTINUM: Final = 20
MEDIASTINUM_MM: Final = 50.0  # under the skin
SAME_MM: Final = 5.0  # from a finding's middle, where its outline does not hold the place

Source = Literal["series finding", "slice finding", "known lesion", "lung", "mediastinum"]
Verdict = Literal["suspected", "open", "shown", "normal", "rejected", "nothing"]
AGAINST: Final = ("normal", "rejected", "nothing")


class PlaceSaid(Frozen):
    """A (column, row) place on a slice, and what is said of it by each way of asking.

    Of a `roi` the decision (`open` is indeterminate); of a slice and a series what the finding there counts for
    (`shown`: for nothing), or `nothing` where there is none.
    """

    scan: str
    source: Source
    slice: int
    column: float
    row: float
    roi: Verdict
    reasons: tuple[str, ...]
    by_slice: Verdict
    by_series: Verdict

    @property
    def contradictions(self) -> tuple[str, ...]:
        """The pairs of ways of which one says suspected and the other that there is nothing."""
        said = {"roi": self.roi, "slice": self.by_slice, "series": self.by_series}
        pairs = (("roi", "slice"), ("roi", "series"), ("slice", "series"))
        return tuple(f"{a}, {b}" for a, b in pairs if _opposed(said[a], said[b]) or _opposed(said[b], said[a]))


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to ask about."""

    source: Source
    index: int
    point_px: PointPx


def measure(known: KnownScan, judge: Judge, sheet: Sheet) -> tuple[PlaceSaid, ...]:
    """Ask about every place of a scan in all three ways; contradictions go onto `sheet`."""
    series = judge.in_series(known.scan.volume)
    slices: dict[int, Prediction] = {}
    spots = tqdm(list(_spots(known, judge, series, slices)), desc=f"places of {known.name}", mininterval=10)
    places = tuple(_said(known, judge, spot, series, slices) for spot in spots)
    for place in places:
        if place.contradictions:
            said = f"{place.roi[:4]} {place.by_slice[:4]} {place.by_series[:4]}"
            ct_slice = known.slice_at(place.slice)
            sheet.missed(f"{known.name[:9]} {place.slice} {said}", ct_slice, (place.column, place.row))
    return places


def table(places: Sequence[PlaceSaid], one: str, other: str) -> Mapping[tuple[str, str], int]:
    """How often each pair of verdicts occurs."""
    return Counter((getattr(p, one), getattr(p, other)) for p in places)


def _opposed(one: Verdict, other: Verdict) -> bool:
    return one == "suspected" and other in AGAINST


def _spots(known: KnownScan, judge: Judge, series: Prediction, slices: dict[int, Prediction]) -> Iterator[Spot]:
    volume = known.scan.volume
    for finding in series.findings:
        yield Spot("series finding", 0 if finding.slice is None else finding.slice.index, finding.center_px)
    for index in range(0, len(volume), EVERY):
        for finding in _slice(known, judge, index, slices).findings:
            yield Spot("slice finding", index, finding.center_px)
    for lesion in known.lesions:
        index, column, row = lesion.sections[len(lesion.sections) // 2].tolist()
        yield Spot("known lesion", round(index), (column, row))
    room, rng = Room.of(known.scan), np.random.default_rng(SEED)
    inside = room.inner_mm > 0
    yield from _random("lung", room, np.flatnonzero(inside), IN_LUNG, rng)
    deep = ~inside & (room.depth_mm > MEDIASTINUM_MM) & inside.any(axis=(1, 2), keepdims=True)
    yield from _random("mediastinum", room, np.flatnonzero(deep), IN_MEDIASTINUM, rng)


def _random(
    source: Source, room: Room, choices: NDArray[np.intp], count: int, rng: np.random.Generator
) -> Iterator[Spot]:
    for number in choices[rng.integers(len(choices), size=count)].tolist():
        index, row, column = room.voxel(number)
        yield Spot(source, index, (float(column), float(row)))


def _slice(known: KnownScan, judge: Judge, index: int, slices: dict[int, Prediction]) -> Prediction:
    if index not in slices:
        slices[index] = judge.on_slice(known.slice_at(index))
    return slices[index]


def _said(known: KnownScan, judge: Judge, spot: Spot, series: Prediction, slices: dict[int, Prediction]) -> PlaceSaid:
    by_slice = _slice(known, judge, spot.index, slices)
    roi = judge.on_slice(known.slice_at(spot.index), spot.point_px)
    in_series = [f for f in series.findings if _shows_at(f, spot, series.spacing_mm, known.scan.volume.spacing_mm[0])]
    return PlaceSaid(
        scan=known.name,
        source=spot.source,
        slice=spot.index,
        column=round(spot.point_px[0], 1),
        row=round(spot.point_px[1], 1),
        roi=_verdict(roi),
        reasons=roi.reasons,
        by_slice=_strongest(findings_at(by_slice, spot.point_px, SAME_MM)),
        by_series=_strongest(in_series),
    )


def _shows_at(finding: Finding, spot: Spot, spacing_mm: tuple[float, float], between_mm: float) -> bool:
    """Whether a series' finding shows on the spot's slice, at its place."""
    if finding.slice is None:
        return False
    apart_mm = abs(finding.slice.index - spot.index) * between_mm
    shows = any(ref.index == spot.index for ref in finding.slices)
    return (shows or apart_mm <= SAME_MM) and lies_at(finding, spot.point_px, spacing_mm, SAME_MM)


def _verdict(said: Prediction) -> Verdict:
    names: Mapping[str, Verdict] = {"cancer_suspected": "suspected", "indeterminate": "open"}
    if said.decision == "rejected":
        return "rejected"
    return names.get(said.decision, "normal")


def _strongest(findings: Iterable[Finding]) -> Verdict:
    counted = {finding.suspicion for finding in findings}
    if not counted:
        return "nothing"
    if "suspected" in counted:
        return "suspected"
    return "open" if "open" in counted else "shown"
