"""What passes for an axial slice of a chest and what does not, by networks that saw neither scan nor patient; and which
wrong HU scales are noticed.

    python -m benchmarks.sight DATA --networks runs/sight --out docs/results/sight.json
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest

from app.imaging.ct import CTSlice, FloatImage
from app.imaging.scale import check_scale
from app.imaging.thumbnail import thumbnail
from benchmarks.serving.report import filled
from phantoms.lung_volumes import series_volume
from training.sight.export import table
from training.sight.fit import DOUBTFUL_BELOW, REJECTED_BELOW, SIZE_PX, logits
from training.sight.runs import trained
from training.sight.views import (
    FOLD_OF_SCAN,
    MIN_CHEST_CM2,
    Picture,
    View,
    development_pictures,
    development_views,
    learned,
    plane,
)

COMMAND: Final = "python -m benchmarks.sight DATA --networks runs/sight --out docs/results/sight.json"
PROTOCOL: Final = (
    "Each picture by the network that saw neither its scan nor its patient (three folds: lidc-0012 in 4, lidc-0001 in "
    "1, cptac-c3n-00247 in 0); thresholds at even odds and at seven to one, stated before. Intervals are Wilson's, "
    "95 %, as if pictures were independent: those of one scan are not, and three scans stand for all reformats."
)
SCALES: Final = ((1.0, -1024), (1.1, -1024), (1.2, -1024), (1.5, -1024), (2.0, -1024), (0.9, -1024), (0.8, -1024),
                 (0.7, -1024), (1.0, -800), (1.0, -900), (1.0, -1124), (1.0, -1200))  # fmt: skip
BODY_HU: Final = -300.0
BEGIN: Final = "<!-- figures: make sight -->"


@dataclass(frozen=True, slots=True)
class Shown:
    """A thumbnail, the row of the table it counts in, and who may judge it."""

    group: str
    patient: str
    name: str
    fold: int
    pixels: FloatImage


def forms_of(picture: Picture) -> Iterator[tuple[str, CTSlice]]:
    """The ways in which a plane may be sent."""
    ct_slice = picture.ct_slice
    yield "", ct_slice
    if picture.kind in ("coronal", "sagittal"):
        yield ", pixels taken as square", replace(ct_slice, spacing_mm=(0.7, 0.7))
        yield ", a part around the body", _part(ct_slice)
    elif picture.source == "scan":
        yield ", turned by 90°", _turned(ct_slice, lambda hu: np.rot90(hu))
        yield ", turned by 180°", _turned(ct_slice, lambda hu: np.rot90(hu, 2))
        yield ", mirrored", _turned(ct_slice, lambda hu: hu[:, ::-1])


def _turned(ct_slice: CTSlice, turn: Callable[[FloatImage], FloatImage]) -> CTSlice:
    return plane(np.ascontiguousarray(turn(ct_slice.hu)), ct_slice.spacing_mm)


def _part(ct_slice: CTSlice) -> CTSlice:
    """The middle two thirds of a reformat's height, no wider than the body."""
    rows = len(ct_slice.hu)
    middle = ct_slice.hu[rows // 6 : rows - rows // 6]
    shown = np.flatnonzero((middle > BODY_HU).mean(axis=0) > 0.1)
    return plane(middle[:, shown[0] : shown[-1] + 1] if len(shown) > 32 else middle, ct_slice.spacing_mm)


def group_of(view: View) -> str:
    """The row of the table."""
    if view.source == "not-lung-ct":
        return "not-lung-ct: other CT" if view.kind == "region" else "not-lung-ct: no CT, as pictures"
    of = view.patient if view.source == "scan" else view.source
    if view.kind == "axial":
        enough = view.lung_cm2 >= MIN_CHEST_CM2
        return f"{of}: axial, {'at least' if enough else 'less than'} {MIN_CHEST_CM2:g} cm² of lung"
    return f"{of}: {'no lung' if view.kind == 'region' else view.kind}"


def shown(data: Path, known: Sequence[View]) -> list[Shown]:
    """Every picture in every form."""
    views = {(view.source, view.name, view.patient): view for view in known}
    found = []
    for picture in development_pictures(data):
        view = views[picture.source, picture.name, picture.patient]
        for form, ct_slice in forms_of(picture):
            pixels = thumbnail(ct_slice.hu, ct_slice.spacing_mm, SIZE_PX)
            found.append(Shown(group_of(view) + form, view.patient, view.name, view.fold, pixels))
    return found


def judged_folds(networks: Path) -> list[int]:
    """Those whose network is trained."""
    return [fold for fold in FOLD_OF_SCAN.values() if (networks / f"fold{fold}.keras").exists()]


def view_figures(pictures: Sequence[Shown], networks: Path) -> list[dict[str, Any]]:
    """One row a group: how many pictures were judged, left in doubt and rejected."""
    scores: dict[str, list[float]] = {}
    for fold in judged_folds(networks):
        mine = [picture for picture in pictures if picture.fold == fold]
        for picture, score in zip(
            mine, logits(trained(networks, f"fold{fold}"), [p.pixels for p in mine]), strict=True
        ):
            scores.setdefault(picture.group, []).append(float(score))
    judged = [p for p in pictures if p.fold in judged_folds(networks)]
    patients = {group: len({p.patient for p in judged if p.group == group}) for group in scores}
    return [_row(group, np.array(scores[group]), patients[group]) for group in sorted(scores)]


def _row(group: str, scores: np.ndarray[Any, np.dtype[np.float64]], patients: int) -> dict[str, Any]:
    rejected = int((scores < REJECTED_BELOW).sum())
    interval = binomtest(rejected, len(scores)).proportion_ci(method="wilson")
    return {
        "group": group,
        "patients": patients,
        "pictures": len(scores),
        "judged": int((scores >= DOUBTFUL_BELOW).sum()),
        "doubtful": int(((scores >= REJECTED_BELOW) & (scores < DOUBTFUL_BELOW)).sum()),
        "rejected": rejected,
        "rejected_share": [round(float(v), 3) for v in (rejected / len(scores), interval.low, interval.high)],
        "lowest": round(float(scores.min()), 1),
        "highest": round(float(scores.max()), 1),
    }


def scale_figures(data: Path) -> list[dict[str, Any]]:
    """Of all slices of the three scans, as if their header stated another slope or intercept."""
    counts: dict[tuple[float, int], Counter[str]] = {scale: Counter() for scale in SCALES}
    for scan in FOLD_OF_SCAN:
        volume = series_volume(data / "series" / scan)
        for n in range(len(volume)):
            ct_slice = volume.slice_at(n)
            for (slope, intercept), counter in counts.items():
                hu = (slope * (ct_slice.hu + 1024) + intercept).astype(np.float32)
                said = check_scale(replace(ct_slice, hu=hu))
                counter[said[0].severity if said else "silent"] += 1
    return [_scale_row(slope, intercept, counter) for (slope, intercept), counter in counts.items()]


def _scale_row(slope: float, intercept: int, counter: Mapping[str, int]) -> dict[str, Any]:
    said = {name: counter.get(key, 0) for name, key in
            (("silent", "silent"), ("remarked", "warning"), ("rejected", "error"))}  # fmt: skip
    return {"slope": slope, "intercept": intercept, "slices": sum(counter.values()), **said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--networks", type=Path, default=Path("runs/sight"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/sight.json"))
    parser.add_argument("--page", type=Path, help="Markdown file whose figures are replaced")
    given = parser.parse_args()
    views = development_views(given.data)
    results = {
        "command": COMMAND,
        "protocol": PROTOCOL,
        "rejected_below": REJECTED_BELOW,
        "doubtful_below": DOUBTFUL_BELOW,
        "folds": judged_folds(given.networks),
        "learned": learned(views),
        "view": view_figures(shown(given.data, views), given.networks),
        "scale": scale_figures(given.data),
    }
    given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if given.page is not None:
        given.page.write_text(filled(given.page.read_text("utf-8"), _tables(results), BEGIN), "utf-8")


def _tables(results: Mapping[str, Any]) -> str:
    lines = ["| slope | intercept | slices | silent | remarked | rejected |", "|---" * 6 + "|"]
    keys = ("slope", "intercept", "slices", "silent", "remarked", "rejected")
    lines += [f"| {' | '.join(str(row[key]) for key in keys)} |" for row in results["scale"]]
    folds = f"Folds judged: {', '.join(map(str, results['folds']))}."
    return "\n\n".join((f"{results['protocol']} {folds}", table(results["view"]), "\n".join(lines)))


if __name__ == "__main__":
    main()
