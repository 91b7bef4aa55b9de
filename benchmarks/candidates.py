"""Recall, count and cost of the candidate filters: `python -m benchmarks.candidates [--data DIR] [--out FILE]`

Slices: native patches of `lidc-nodules` (three readers or more) and every slice of `series/lidc-0012` on which two
readers outlined a nodule. A hit lies within the nodule's radius (2.5 mm at least) of its middle. A patch of 50 mm shows
no body, so its lung field is emulated: all air-like components, closed as in a slice. Diameters are those of the
readers' outlines, line included. Everything but the times is the same on every run.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from time import process_time
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.candidates import Candidate, find_candidates
from app.imaging.ct import CTSlice, SliceSource
from app.imaging.lung_closing import closed
from app.imaging.lungs import AIRLIKE_HU, WORK_SPACING_MM, Mask, segment_lungs, shrink
from app.imaging.quality import MIN_LUNG_CM2
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import find_volume_candidates
from app.imaging.volume_lungs import VolumeLungs, segment_volume
from phantoms.lung_volumes import series_volume
from training.data.lidc_xml import parse_reading
from training.data.marks import draw, group_marks, largest_region

BANDS_MM: Final = ((3, 6), (6, 10), (10, 20), (20, 100))
MIN_READERS, MIN_DIAMETER_MM, MIN_HIT_MM = 3, 4.0, 2.5
SOLID, NON_SOLID = 4.5, 1.5  # mean texture rating
Place = tuple[int, float, float, float]  # slice, column, row, diameter in mm


def emulated_lungs(ct_slice: CTSlice) -> Mask:
    """Lung field of a patch, where neither body nor whole lung is in view."""
    hu = shrink(ct_slice.hu, ct_slice.spacing_mm)
    count, labels = cv2.connectedComponents((cv2.blur(hu, (3, 3)) < AIRLIKE_HU).astype(np.uint8), connectivity=4)
    field = closed(np.asarray(labels, np.int32), [[label] for label in range(1, count)], WORK_SPACING_MM)
    return cv2.resize(field, ct_slice.hu.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.bool_)


def nearest(
    candidates: tuple[Candidate, ...], ct_slice: CTSlice, point: tuple[float, float], diameter_mm: float
) -> Candidate | None:
    """The strongest hit."""
    rows_mm, columns_mm = ct_slice.spacing_mm
    reach_mm = max(diameter_mm / 2, MIN_HIT_MM)
    offsets = ((c, c.centre_px[0] - point[0], c.centre_px[1] - point[1]) for c in candidates)
    return next((c for c, x, y in offsets if math.hypot(x * columns_mm, y * rows_mm) <= reach_mm), None)


def texture_of(ratings: str) -> str:
    mean = float(np.mean([float(r) for r in ratings.split(";")]))
    return "solid" if mean >= SOLID else "non-solid" if mean <= NON_SOLID else "part-solid"


def patch_recall(data: Path) -> dict[str, Any]:
    """By band and texture: nodules, hits, and the median and quartiles of filter size over outlined diameter."""
    folder = data / "lidc-nodules"
    with np.load(folder / "patches.npz") as stored:
        hu, row_of = stored["hu"], {str(name): n for n, name in enumerate(stored["nodule_id"])}
    with (folder / "nodules.csv").open(encoding="utf-8") as stream:
        table = [row for row in csv.DictReader(stream) if int(row["n_readers"]) >= MIN_READERS]
    hits: dict[str, list[float]] = {}
    for row in table:
        patch = hu[row_of[row["nodule_id"]]].astype(np.float32)
        diameter_mm, spacing_mm = float(row["eq_diameter_mm"]), float(row["pixel_spacing_mm"])
        band = next((b for b in BANDS_MM if b[0] <= diameter_mm < b[1]), None)
        if band is None:
            continue
        ct_slice = CTSlice(patch, (spacing_mm, spacing_mm), SliceSource("array", *patch.shape))
        middle = (patch.shape[0] - 1) / 2
        hit = nearest(find_candidates(ct_slice, emulated_lungs(ct_slice)), ct_slice, (middle, middle), diameter_mm)
        ratio = hit.diameter_mm / diameter_mm if hit else math.nan
        hits.setdefault(f"{band[0]}-{band[1]} mm {texture_of(row['texture'])}", []).append(ratio)
    return {name: described(np.array(ratios)) for name, ratios in sorted(hits.items())}


def described(ratios: NDArray[np.float64]) -> dict[str, Any]:
    found = ratios[~np.isnan(ratios)]
    quartiles = np.percentile(found, [25, 50, 75]).round(2).tolist() if found.size else []
    return {"nodules": len(ratios), "recall": round(len(found) / len(ratios), 3), "size_ratio_quartiles": quartiles}


def marked_nodules(volume: CTVolume, reading: Path) -> list[list[Place]]:
    """Nodules of MIN_READERS and MIN_DIAMETER_MM: the slices on which two readers outlined them."""
    parsed = parse_reading(reading.read_bytes())
    heights = {str(source.sop_instance_uid): k for k, source in enumerate(volume.sources)}
    spacing_mm = volume.spacing_mm[1]
    nodules = []
    marks = [draw(mark) for mark in parsed.marks] if parsed else []
    for group in group_marks(marks, heights, volume.spacing_mm[0] / spacing_mm):
        if len(group) < MIN_READERS or largest_region(group).equivalent_diameter_mm(spacing_mm) < MIN_DIAMETER_MM:
            continue
        by_slice: dict[int, list[Any]] = {}
        for region in (region for drawn in group for region in drawn.regions):
            by_slice.setdefault(heights[region.sop_uid], []).append(region)
        nodules.append(
            [
                (k, *np.mean([r.middle_px for r in regions], axis=0).tolist(), largest(regions, spacing_mm))
                for k, regions in sorted(by_slice.items())
                if len(regions) > 1
            ]
        )
    return nodules


def largest(regions: list[Any], spacing_mm: float) -> float:
    return max(float(region.equivalent_diameter_mm(spacing_mm)) for region in regions)


def slice_figures(volume: CTVolume, lungs: VolumeLungs, nodules: list[list[Place]]) -> dict[str, Any]:
    """Recall on the outlined slices; count and CPU time on every third slice that shows lung."""
    places = [place for nodule in nodules for place in nodule]
    hits = 0
    for index, column, row, diameter_mm in places:
        ct_slice = volume.slice_at(index)
        candidates = find_candidates(ct_slice, segment_lungs(ct_slice))
        hits += nearest(candidates, ct_slice, (column, row), diameter_mm) is not None
    slices = [volume.slice_at(k) for k in range(0, len(volume), 3) if lungs.areas_cm2[k] >= MIN_LUNG_CM2]
    started = process_time()
    masks = [segment_lungs(s) for s in slices]
    segmented = process_time()
    counts = [len(find_candidates(s, m)) for s, m in zip(slices, masks, strict=True)]
    return {
        "outlined_slices": len(places),
        "outlined_slices_hit": hits,
        "candidates_per_slice": {"mean": round(float(np.mean(counts)), 1), "most": max(counts)},
        "cpu_ms_per_slice": {
            "lungs": round((segmented - started) / len(slices) * 1000, 1),
            "candidates": round((process_time() - segmented) / len(slices) * 1000, 1),
        },
    }


def volume_figures(volume: CTVolume, lungs: VolumeLungs, nodules: list[list[Place]]) -> dict[str, Any]:
    """The rank of each nodule's strongest hit among the candidates of the whole series (0 is the strongest)."""
    started = process_time()
    candidates = find_volume_candidates(volume, lungs)
    cpu_ms = (process_time() - started) / len(volume) * 1000
    ranks = []
    for nodule in nodules:
        index, column, row, _ = np.mean(nodule, axis=0).tolist()
        scale = np.array(volume.spacing_mm)
        reach_mm = max(max(place[3] for place in nodule) / 2, MIN_HIT_MM)
        offsets = [
            np.array([c.slice_position - index, c.centre_px[1] - row, c.centre_px[0] - column]) * scale
            for c in candidates
        ]
        ranks.append(next((k for k, o in enumerate(offsets) if np.linalg.norm(o) <= reach_mm), None))
    return {"candidates": len(candidates), "ranks": ranks, "cpu_ms_per_slice": round(cpu_ms, 1)}


def series_figures(folder: Path) -> dict[str, Any]:
    volume = series_volume(folder)
    started = process_time()
    lungs = segment_volume(volume)
    lungs_ms = round((process_time() - started) / len(volume) * 1000, 1)
    reading = folder / "readings.xml"
    nodules = marked_nodules(volume, reading) if reading.exists() else []
    return {
        "slices": len(volume),
        "lungs": {"volume_ml": round(lungs.volume_ml), "cpu_ms_per_slice": lungs_ms},
        "slice": slice_figures(volume, lungs, nodules),
        "volume": volume_figures(volume, lungs, nodules),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    command = "python -m benchmarks.candidates --out docs/results/candidates.json"
    figures: dict[str, Any] = {"command": command, "patches": patch_recall(given.data)}
    figures["series"] = {
        name: series_figures(given.data / "series" / name) for name in ("lidc-0012", "cptac-c3n-00247")
    }
    text = json.dumps(figures, indent=1)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
