"""Does the nodule head hold on whole slices? Scores known nodules and random places of a DICOM series.

`python -m training.experiments.probe --network DIR/fold4.keras --config … --data DIR --series DIR --patient ID`: the
network must not have seen the patient. Places are drawn by tissue from the HU itself, at least 15 mm from every known
nodule in that slice and its neighbours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
import pydicom
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec, resample
from training.data.development import read_nodules
from training.data.nodules import Nodule
from training.evaluation.calibration import sigmoid
from training.fitting.config import load_config
from training.fitting.train import predict

CLEARANCE_MM = 15.0
SLICE_REACH = 3  # nodules of slices this close are kept away from, too
PLACES_PER_SLICE = 12
BODY_HU = -500.0
VESSEL_HU = -300.0
BONE_HU = 300.0
LUNG_RANGE_HU = (-950.0, -600.0)
MIN_AIR_MM2 = 2000.0  # smaller pockets of low HU are bowel, not lung
QUANTILES = (0.5, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    sop_uid: str
    hu: FloatImage
    spacing_mm: tuple[float, float]


def probe(network: object, slices: Sequence[_Slice], nodules: Sequence[Nodule], spec: PatchSpec, seed: int) -> Mapping[
    str, NDArray[np.float64]
]:  # fmt: skip
    """Nodule probability of the known nodules and of random places, by tissue."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[FloatImage]] = {"nodule": []}
    index = {s.sop_uid: k for k, s in enumerate(slices)}
    for nodule in nodules:
        place = slices[index[nodule.sop_uid]]
        found["nodule"].append(resample(place.hu, place.spacing_mm, nodule.point_px, spec)[0])
    for k, place in enumerate(slices):
        near = [n.point_px for n in nodules if abs(index[n.sop_uid] - k) <= SLICE_REACH]
        for tissue, allowed in _tissues(place).items():
            points = np.argwhere(allowed & _clear(place, near))
            for row, column in rng.permutation(points)[:PLACES_PER_SLICE]:
                cut, _ = resample(place.hu, place.spacing_mm, (float(column), float(row)), spec)
                found.setdefault(tissue, []).append(cut)
    return {tissue: sigmoid(predict(network, np.stack(cuts)).nodule) for tissue, cuts in found.items() if cuts}


def read_series(folder: Path) -> list[_Slice]:
    """The CT slices of a folder, bottom to top, in HU."""
    files = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    files.sort(key=lambda f: float(f.ImagePositionPatient[2]))
    return [
        _Slice(
            str(f.SOPInstanceUID),
            f.pixel_array.astype(np.float32) * np.float32(f.RescaleSlope) + np.float32(f.RescaleIntercept),
            (float(f.PixelSpacing[0]), float(f.PixelSpacing[1])),
        )
        for f in files
    ]


def _tissues(place: _Slice) -> dict[str, NDArray[np.bool_]]:
    smooth = cv2.GaussianBlur(place.hu, (0, 0), 0.8)
    body = _body(smooth > BODY_HU)
    lungs = _large(body & (smooth < BODY_HU), MIN_AIR_MM2 / (place.spacing_mm[0] * place.spacing_mm[1]))
    filled = cv2.morphologyEx(lungs.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8)).astype(bool)
    low, high = LUNG_RANGE_HU
    wall = cv2.dilate(filled.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~filled
    return {
        "lung": lungs & (smooth > low) & (smooth < high),
        "vessel in lung": filled & (smooth > VESSEL_HU),
        "chest wall beside lung": wall & body,
        "bone": body & (smooth > BONE_HU),
        "soft tissue": body & ~filled & ~wall & (smooth > -50) & (smooth < 100),
        "air outside": ~body,
    }


def _body(tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest piece of tissue with its holes filled."""
    contours, _ = cv2.findContours(tissue.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(tissue.shape, np.uint8)
    if contours:
        cv2.drawContours(canvas, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return canvas.astype(bool)


def _large(pieces: NDArray[np.bool_], least_px: float) -> NDArray[np.bool_]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pieces.astype(np.uint8))
    wanted = [k for k in range(1, len(stats)) if stats[k, cv2.CC_STAT_AREA] >= least_px]
    return np.isin(labels, wanted)


def _clear(place: _Slice, points: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    y, x = np.mgrid[: place.hu.shape[0], : place.hu.shape[1]]
    clear = np.ones(place.hu.shape, np.bool_)
    for column, row in points:
        distance = np.hypot((x - column) * place.spacing_mm[1], (y - row) * place.spacing_mm[0])
        clear &= distance >= CLEARANCE_MM
    return clear


def main(arguments: Sequence[str] | None = None) -> None:
    """Print counts, quantiles and the fraction at or above each threshold, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("network", "config", "data", "series"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--patient", default=None, help="whose nodules are known; none without it")
    parser.add_argument("--threshold", type=float, action="append", default=[])
    given = parser.parse_args(arguments)
    config = load_config(given.config)
    nodules = [n for n in read_nodules(given.data / "lidc-nodules") if n.patient == given.patient]
    network = keras.saving.load_model(given.network, compile=False)
    scores = probe(network, read_series(given.series), nodules, config.input.patch_spec, config.seed)
    for tissue, values in scores.items():
        line: dict[str, object] = {"place": tissue, "places": len(values)}
        line["quantiles"] = {f"{q:g}": round(float(np.quantile(values, q)), 4) for q in QUANTILES}
        line["at_or_above"] = {f"{t:g}": round(float((values >= t).mean()), 4) for t in given.threshold}
        sys.stdout.write(json.dumps(line) + "\n")
        if tissue == "nodule":
            pairs = zip(nodules, values, strict=True)
            known = {str(n.nodule_id): [n.diameter_mm, round(float(v), 4)] for n, v in pairs}
            sys.stdout.write(json.dumps(known) + "\n")


if __name__ == "__main__":
    main()
