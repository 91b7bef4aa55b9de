"""The single slices of `chest-slices`, row by row, each as DICOM and as a picture without header."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import imagecodecs
import numpy as np
from tqdm import tqdm

from app.imaging.ct import CTSlice, FloatImage, PointPx
from app.imaging.options import Window
from app.imaging.read import read_slice
from app.inference.prediction import Prediction
from benchmarks.scan.answers import Answer, Frozen, Judge, answer_of, findings_at, suspected_of
from benchmarks.scan.pictures import Sheet

FOLDER: Final = "chest-slices"
WINDOW: Final = Window(-600, 1500)  # the one that is assumed of a picture that states none
NEAR_MM: Final = 15.0  # a reading's point is somewhere in its finding
ELSEWHERE: Final = ("abdomen", "pelvis", "neck or shoulders")
LESIONS: Final = ("mass", "nodule")
OPAQUE: Final = ("consolidation", "diffuse")
MOST_ALARMS: Final = 1  # of the chest slices with an empty reading

Kind = Literal["lesion", "opaque", "elsewhere", "plain", "other"]
Source = Literal["dicom", "picture"]


class ChestRow(Frozen):
    """One slice: what the table says of it, who judged it, what was said, and whether a finding lies near the reading's
    point. `as_asked` is None where each row by itself has nothing to fulfil."""

    file: str
    patient: str
    region: str
    reading: str
    kind: Kind
    source: Source
    network: str
    answer: Answer
    near: bool
    as_asked: bool | None


def kind_of(region: str, reading: str) -> Kind:
    """What is asked of a slice."""
    if region in ELSEWHERE:
        return "elsewhere"
    if any(word in reading for word in LESIONS):
        return "lesion"
    if any(word in reading for word in OPAQUE):
        return "opaque"
    return "plain" if region == "chest" and not reading else "other"


def measure(data: Path, judge_of: Callable[[str], Judge], sheet: Sheet) -> tuple[ChestRow, ...]:
    """Judge every slice by the judge that has not seen its patient; false findings and misses go onto `sheet`."""
    with (data / FOLDER / "slices.csv").open(encoding="utf-8") as stream:
        table = sorted(csv.DictReader(stream), key=lambda entry: (entry["patient"], entry["file"]))
    rows = []
    for entry in tqdm(table, desc="chest slices", mininterval=5):
        ct_slice, judge = read_slice((data / FOLDER / entry["file"]).read_bytes()), judge_of(entry["patient"])
        rows.append(_row(entry, "dicom", judge, ct_slice, sheet))
        rows.append(_row(entry, "picture", judge, read_slice(picture(ct_slice.hu)), sheet))
    return tuple(rows)


def picture(hu: FloatImage) -> bytes:
    """An 8-bit PNG in WINDOW, which says nothing of spacing, window or patient."""
    grey = np.clip((hu - WINDOW.low_hu) / WINDOW.width_hu * 255, 0, 255)
    return bytes(imagecodecs.png_encode(np.rint(grey).astype(np.uint8)))


def alarms(rows: Iterable[ChestRow], source: Source = "dicom") -> list[ChestRow]:
    """The plain chest slices that are called suspected."""
    chosen = (r for r in rows if r.kind == "plain" and r.source == source)
    return [row for row in chosen if row.answer.decision == "cancer_suspected"]


def _row(entry: dict[str, str], source: Source, judge: Judge, ct_slice: CTSlice, sheet: Sheet) -> ChestRow:
    said = judge.on_slice(ct_slice)
    kind, point = kind_of(entry["region"], entry["reading"]), _point(entry)
    near = [] if point is None else list(findings_at(said, point, NEAR_MM))
    as_asked = _as_asked(kind, said, near_suspected=any(f in suspected_of(said) for f in near))
    title = f"{entry['file'][:4]} {source}"
    if kind == "lesion" and not as_asked and point is not None:
        sheet.missed(title, ct_slice, point)
    if kind != "lesion":
        sheet.false(title, ct_slice, suspected_of(said))
    return ChestRow(
        **{name: entry[name] for name in ("file", "patient", "region", "reading")},
        kind=kind,
        source=source,
        network=judge.name,
        answer=answer_of(said),
        near=bool(near),
        as_asked=as_asked,
    )


def _as_asked(kind: Kind, said: Prediction, *, near_suspected: bool) -> bool | None:
    match kind:
        case "lesion":
            return near_suspected or said.decision == "indeterminate"
        case "opaque":
            return said.decision != "normal"
        case "elsewhere":
            return said.decision == "rejected"
        case _:
            return None


def _point(entry: dict[str, str]) -> PointPx | None:
    return (float(entry["column"]), float(entry["row"])) if entry["column"] else None
