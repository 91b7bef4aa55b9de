"""How often aerated and opaque lungs are remarked: `python -m benchmarks.opacity [--data DIR] [--out FILE]`

Plain: every third slice of the three series, and the chest slices without reading. Sick: the chest slices read as
consolidation or diffuse disease; and slices of the series in which part of one lung was filled with tissue of 35 HU:
all of it, what lies behind a level (fluid), what lies beyond a slanted line (a lobe). The bars were chosen on these
scans, so the figures say how the measure behaves, not what it will do elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from app.imaging import opacity
from app.imaging.aeration import Side, patient_sides
from app.imaging.ct import CTSlice
from app.imaging.lungs import lung_area_cm2, segment_lungs, shrink
from app.imaging.quality import MIN_LUNG_CM2
from app.imaging.read import read_slice
from app.imaging.volume import CTVolume
from phantoms.lung_volumes import series_volume

SERIES: Final = ("lidc-0012", "cptac-c3n-00247", "lidc-0001")
BARS_CM2: Final = (4.0, 6.0, 8.0, 12.0, 16.0)  # of MIN_OPAQUE_CM2
SHARES: Final = {"fluid": (0.1, 0.2, 0.3, 0.5), "lobe": (0.2, 0.35, 0.5), "whole": (1.0,)}
MIN_LUNG_MM2: Final = 4500.0  # of a lung that is filled
EVERY, EVERY_FILLED = 3, 6
Sides = tuple[Side, Side]


def sides_of(ct_slice: CTSlice) -> Sides | None:
    """None without lung."""
    lungs = segment_lungs(ct_slice)
    if lung_area_cm2(lungs, ct_slice) < MIN_LUNG_CM2:
        return None
    hu = shrink(ct_slice.hu, ct_slice.spacing_mm)
    mask = cv2.resize(lungs.view(np.uint8), hu.shape[::-1], interpolation=cv2.INTER_NEAREST).view(np.bool_)
    return patient_sides(hu, mask, ct_slice.hu.shape, ct_slice.orientation)


def filled(ct_slice: CTSlice, kind: str, share: float, random: np.random.Generator) -> CTSlice | None:
    """With part of one lung, drawn at random, without air; None where two lungs are not to be told apart."""
    lungs = segment_lungs(ct_slice)
    _, labels, stats, centres = cv2.connectedComponentsWithStats(lungs.view(np.uint8))
    pixel_mm2 = float(np.prod(ct_slice.spacing_mm))
    large = [n for n in range(1, len(stats)) if stats[n][cv2.CC_STAT_AREA] * pixel_mm2 >= MIN_LUNG_MM2]
    if len(large) != 2:
        return None
    label = large[int(random.integers(2))]
    lung, (rows, columns) = labels == label, np.mgrid[: lungs.shape[0], : lungs.shape[1]]
    outwards = 1 if centres[label][0] > lungs.shape[1] / 2 else -1
    angle = np.pi / 2 if kind == "fluid" else random.uniform(-0.3, 1.2)
    depth = outwards * np.cos(angle) * columns + np.sin(angle) * rows
    part = lung & (depth >= np.quantile(depth[lung], 1 - share))
    hu = ct_slice.hu.copy()
    hu[part] = random.normal(35, 15, np.count_nonzero(part))
    return replace(ct_slice, hu=np.asarray(cv2.GaussianBlur(hu, (0, 0), 0.8), np.float32))


def remarked(sides: list[Sides]) -> dict[str, float]:
    """Share of slices remarked, by the bar for what lies between lung and ribs."""
    shipped, shares = opacity.MIN_OPAQUE_CM2, {}
    for bar in BARS_CM2:
        setattr(opacity, "MIN_OPAQUE_CM2", bar)  # noqa: B010
        shares[f"{bar:g} cm2"] = round(float(np.mean([bool(opacity.check_sides(*s)) for s in sides])), 3)
    setattr(opacity, "MIN_OPAQUE_CM2", shipped)  # noqa: B010
    return shares


def described(sides: list[Sides]) -> dict[str, Any]:
    return {"slices": len(sides), "remarked": remarked(sides)}


def filled_slices(volumes: list[CTVolume], kind: str, share: float) -> Iterator[Sides]:
    random = np.random.default_rng(0)
    for volume in volumes:
        for k in range(0, len(volume), EVERY_FILLED):
            ct_slice = filled(volume.slice_at(k), kind, share, random)
            if ct_slice and (sides := sides_of(ct_slice)):
                yield sides


def chest_slices(folder: Path, *, sick: bool) -> list[Sides]:
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["region"] == "chest"]
    ill = ("consolidation", "diffuse")
    files = [r["file"] for r in rows if (any(w in r["reading"] for w in ill) if sick else not r["reading"])]
    return [s for s in (sides_of(read_slice((folder / file).read_bytes())) for file in files) if s]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    volumes = [series_volume(given.data / "series" / name) for name in SERIES]
    plain = {
        name: described([s for k in range(0, len(v), EVERY) if (s := sides_of(v.slice_at(k)))])
        for name, v in zip(SERIES, volumes, strict=True)
    }
    figures = {
        "command": "python -m benchmarks.opacity --out docs/results/opacity.json",
        "shipped_bar_cm2": opacity.MIN_OPAQUE_CM2,
        "plain": plain | {"chest-slices": described(chest_slices(given.data / "chest-slices", sick=False))},
        "sick": {"chest-slices": described(chest_slices(given.data / "chest-slices", sick=True))},
        "filled": {
            f"{kind} {share:g} of a lung": described(list(filled_slices(volumes, kind, share)))
            for kind, shares in SHARES.items()
            for share in shares
        },
    }
    text = json.dumps(figures, indent=1)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
