"""What is said where nothing is: slices without lesion one by one, parts of scans without lesion as series, and what
series mode shows of a whole scan beside its known lesions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from tqdm import tqdm

from app.imaging.volume import CTVolume
from app.inference.prediction import Finding
from benchmarks.scan.answers import Answer, Frozen, Judge, answer_of, best_score, is_suspected, suspected_of
from benchmarks.scan.known import KnownScan
from benchmarks.scan.pictures import Sheet
from benchmarks.whole_scans import MARK_MM, Lesion

KNOWN_REACH_MM: Final = 5.0  # a finding's middle from a lesion's surface


class SliceAlarm(Frozen):
    """One slice without lesion."""

    scan: str
    network: str
    index: int
    answer: Answer


class PartAlarm(Frozen):
    """A part of a scan without lesion, judged as a series: its first and last slice."""

    scan: str
    network: str
    first: int
    last: int
    answer: Answer


class KnownLesion(Frozen):
    """A lesion of a scan: the number of readers that marked it (0: known from its patient), and whether a finding lies
    on it, and a suspected one."""

    position_mm: tuple[float, float, float]
    diameter_mm: float
    readers: int
    listed: bool
    suspected: bool
    score: float | None


class WholeSeries(Frozen):
    """A whole scan as a series. `others` are the findings on nothing that anybody marked, `other_suspected` how many of
    them would make it suspected, `best_other` their highest score; `marked` are those on what fewer readers marked."""

    scan: str
    network: str
    answer: Answer
    lesions: tuple[KnownLesion, ...]
    marked: int
    others: int
    other_suspected: int
    best_other: float | None = None


class FalseAlarms(Frozen):
    """All three."""

    slices: tuple[SliceAlarm, ...]
    parts: tuple[PartAlarm, ...]
    series: tuple[WholeSeries, ...]


def measure(scans: Sequence[KnownScan], judge_of: Callable[[str], Judge], sheet: Sheet) -> FalseAlarms:
    """Judge every scan by the judge that has not seen it; false findings and misses go onto `sheet`."""
    judged = [(known, judge_of(known.name)) for known in scans]
    return FalseAlarms(
        slices=tuple(alarm for known, judge in judged for alarm in _slices(known, judge, sheet)),
        parts=tuple(alarm for known, judge in judged for alarm in _parts(known, judge, sheet)),
        series=tuple(_whole(known, judge, sheet) for known, judge in judged),
    )


def decisions(answers: Sequence[Answer]) -> Mapping[str, int]:
    """How often each decision was taken; `indeterminate` and `rejected` by their first reason."""
    return Counter(
        f"{a.decision}: {a.reasons[0]}" if a.reasons and a.decision != "cancer_suspected" else a.decision
        for a in answers
    )


def part_of(volume: CTVolume, indices: range) -> CTVolume:
    """Neighbouring slices of a volume as one of their own."""
    chosen = slice(indices.start, indices.stop)
    hu = volume.hu[chosen].copy()
    return replace(volume, hu=hu, positions_mm=volume.positions_mm[chosen], sources=volume.sources[chosen])


def _slices(known: KnownScan, judge: Judge, sheet: Sheet) -> list[SliceAlarm]:
    alarms = []
    for index in tqdm(known.free, desc=f"slices of {known.name}", mininterval=5):
        ct_slice = known.slice_at(index)
        said = judge.on_slice(ct_slice)
        sheet.false(f"{known.name[:9]} {index}", ct_slice, suspected_of(said))
        alarms.append(SliceAlarm(scan=known.name, network=judge.name, index=index, answer=answer_of(said)))
    return alarms


def _parts(known: KnownScan, judge: Judge, sheet: Sheet) -> list[PartAlarm]:
    alarms = []
    for part in known.free_runs:
        said = judge.in_series(part_of(known.scan.volume, part))
        for finding in suspected_of(said):
            _draw(sheet, f"{known.name[:9]} part", known, part.start, finding)
        alarms.append(
            PartAlarm(scan=known.name, network=judge.name, first=part[0], last=part[-1], answer=answer_of(said))
        )
    return alarms


def _whole(known: KnownScan, judge: Judge, sheet: Sheet) -> WholeSeries:
    said = judge.in_series(known.scan.volume)
    on = {f.id: next((k for k, lesion in enumerate(known.lesions) if on_lesion(known, lesion, f)), None)
          for f in said.findings}  # fmt: skip
    others = [f for f in said.findings if on[f.id] is None and clearance_mm(known, f) > MARK_MM]
    for finding in others:
        mark = "!" if is_suspected(finding) else ""
        _draw(sheet, f"{known.name[:9]} series{mark}", known, 0, finding)
    lesions = []
    for number, lesion in enumerate(known.lesions):
        found = [f for f in said.findings if on[f.id] == number]
        if not found:
            index, column, row = lesion.sections[len(lesion.sections) // 2]
            sheet.missed(f"{known.name[:9]} {lesion.diameter_mm:.0f}mm", known.slice_at(round(index)), (column, row))
        lesions.append(_known_lesion(lesion, found, suspected=any(is_suspected(f) for f in found)))
    return WholeSeries(
        scan=known.name,
        network=judge.name,
        answer=answer_of(said),
        lesions=tuple(lesions),
        marked=sum(1 for f in said.findings if on[f.id] is None) - len(others),
        others=len(others),
        other_suspected=sum(is_suspected(f) for f in others),
        best_other=best_score(others),
    )


def _known_lesion(lesion: Lesion, found: Sequence[Finding], *, suspected: bool) -> KnownLesion:
    x, y, z = (round(float(v), 1) for v in lesion.position_mm)
    return KnownLesion(
        position_mm=(x, y, z),
        diameter_mm=round(lesion.diameter_mm, 1),
        readers=lesion.readers,
        listed=bool(found),
        suspected=suspected,
        score=best_score(found),
    )


def on_lesion(known: KnownScan, lesion: Lesion, finding: Finding) -> bool:
    """Whether a series' finding lies on a lesion: by its contours, or by the distance of the middles."""
    index = 0 if finding.slice is None else finding.slice.index
    at = np.asarray(known.scan.volume.to_patient_mm(index, finding.center_px))
    apart_mm = float(np.linalg.norm(at - lesion.position_mm))
    return lesion.holds(index, finding.center_px) or apart_mm <= lesion.diameter_mm / 2 + KNOWN_REACH_MM


def clearance_mm(known: KnownScan, finding: Finding) -> float:
    """Distance of a finding's middle from the nearest thing that anybody marked."""
    index = 0 if finding.slice is None else finding.slice.index
    return known.scan.clearance_mm((*finding.center_px, float(index)))


def _draw(sheet: Sheet, title: str, known: KnownScan, first: int, finding: Finding) -> None:
    index = first + (0 if finding.slice is None else finding.slice.index)
    sheet.false(f"{title} {index}", known.slice_at(index), [finding])
