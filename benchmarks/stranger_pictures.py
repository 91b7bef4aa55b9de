"""Patches that the classifier was never taught to judge, by name; and nodules beside them.

Places of whole slices are drawn at random inside the body, the same at every call.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.imaging.ct import CTSlice, FloatImage, SliceSource
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.read import read_slice
from training.data.development import read_nodules
from training.data.nodules import Nodule

SEED: Final = 20261130
HOSTS: Final = 400  # nodules, of as many patients, whose patches are changed
PLACES: Final = 30  # of a slice
BODY_HU: Final = -300.0
MARGIN_MM: Final = 16.0  # from the body's edge: half a patch
METAL_HU: Final = 8000.0  # steel and titanium end far above what 12 bits hold
STORED: Final = 1024.0  # what a rescale intercept of -1024 takes off
WATER_HU, AIR_HU = 0.0, -1000.0
ORGANS: Final[Mapping[str, str]] = {"CT_head": "head", "CT_abdomen": "abdomen", "CT_dcm_qa": "phantom of water"}
MASSES: Final = ("mass", "mass on the pleura", "mass on the mediastinum or wall")
MISTAKEN: Final = 2.0  # pixel spacing as stated, in terms of the true one; half would show the patch's edge
MASS_ZOOM: Final = 2.0  # as a search sees what is large
Change = Callable[[FloatImage, float, np.random.Generator], FloatImage]  # of HU at a pixel spacing in mm


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A patch as the network takes it, float32 (size, size) in HU: what it shows, and the patient or file it is of."""

    group: str
    owner: str
    hu: FloatImage


def strangers(data: Path, spec: PatchSpec) -> Iterator[Shown]:
    """Nodules, the same changed, and everything else."""
    rng = np.random.default_rng(SEED)
    hosts = chosen_hosts(read_nodules(data / "lidc-nodules"))
    for name, change in CHANGES.items():
        for host in hosts:
            yield Shown(name, host.patient, _patch(change, host, spec, rng))
    for host in hosts:
        name = f"nodule, pixels taken for {MISTAKEN:g} times as large"
        yield Shown(name, host.patient, _patch(_as_it_is, host, spec.zoomed(1 / MISTAKEN), rng))
    yield from _without_anatomy(spec, rng)
    yield from _masses(data / "chest-slices", spec)
    yield from _organs(data, spec, rng)


def chosen_hosts(nodules: Sequence[Nodule]) -> list[Nodule]:
    """The first nodule of HOSTS patients, spread over all of them."""
    first = list({n.patient: n for n in reversed(nodules)}.values())[::-1]
    return [first[k] for k in np.linspace(0, len(first) - 1, min(HOSTS, len(first))).astype(int)]


def with_metal(hu: FloatImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A clip, screw or lead of 2 to 6 mm up to 8 mm from the middle, with dark and bright streaks from it."""
    rows, columns = (np.mgrid[: hu.shape[0], : hu.shape[1]] - np.array(hu.shape)[:, None, None] / 2) * spacing_mm
    turn, apart = rng.uniform(0, 2 * np.pi), rng.uniform(0, 8)
    y, x = rows - apart * np.sin(turn), columns - apart * np.cos(turn)
    streaked = hu.astype(np.float64)
    for angle in rng.uniform(0, np.pi, rng.integers(3, 7)):
        across, along = x * np.sin(angle) - y * np.cos(angle), np.hypot(x, y)
        streaked += (
            rng.choice([-1, 1])
            * rng.uniform(300, 900)
            * np.exp(-((across / rng.uniform(1, 2)) ** 2))
            * np.exp(-along / 20)
        )
    return np.where(np.hypot(x, y) <= rng.uniform(1, 3), METAL_HU, streaked).astype(np.float32)


def _as_it_is(hu: FloatImage, _spacing_mm: float, _rng: np.random.Generator) -> FloatImage:
    return hu


def _noisy(sd_hu: float) -> Change:
    return lambda hu, _, rng: (hu + rng.normal(0, sd_hu, hu.shape)).astype(np.float32)


def _scaled(slope: float, intercept: float = 0.0) -> Change:
    """As if a header stated another slope and intercept for values stored from -1024 HU."""
    return lambda hu, _spacing, _rng: (slope * (hu + STORED) - STORED + intercept).astype(np.float32)


def _grey(hu: FloatImage, _spacing_mm: float, _rng: np.random.Generator) -> FloatImage:
    """Levels 0 to 255 of a lung window, taken for HU."""
    return np.clip((hu + 1350) / 1500 * 255, 0, 255).round().astype(np.float32)


CHANGES: Final[Mapping[str, Change]] = {
    "nodule": _as_it_is,
    "nodule with metal, generated": with_metal,
    "nodule, noise of 100 HU": _noisy(100),
    "nodule, noise of 300 HU": _noisy(300),
    "nodule, inverted": lambda hu, _spacing, _rng: (-1000 - hu).astype(np.float32),
    "nodule, stored values taken for HU": _scaled(1.0, STORED),
    "nodule, scale of 0.5": _scaled(0.5),
    "nodule, scale of 1.5": _scaled(1.5),
    "nodule, scale of 2": _scaled(2.0),
    "nodule, grey levels taken for HU": _grey,
}


def _patch(change: Change, host: Nodule, spec: PatchSpec, rng: np.random.Generator) -> FloatImage:
    hu = change(host.hu.astype(np.float32), host.spacing_mm, rng)
    return _cut(plane(hu, host.spacing_mm), ((hu.shape[1] - 1) / 2, (hu.shape[0] - 1) / 2), spec)


def plane(hu: FloatImage, spacing_mm: float) -> CTSlice:
    """A patch as a slice of its own."""
    return CTSlice(np.ascontiguousarray(hu), (spacing_mm, spacing_mm), SliceSource("array", *hu.shape))


def _cut(ct_slice: CTSlice, centre_px: tuple[float, float], spec: PatchSpec) -> FloatImage:
    return extract_patch(ct_slice, centre_px, spec).hu


def _without_anatomy(spec: PatchSpec, rng: np.random.Generator) -> Iterator[Shown]:
    shape = (spec.size_px, spec.size_px)
    for k in range(HOSTS):
        level, sd = rng.uniform(-1000, 400), rng.uniform(100, 600)
        yield Shown("noise alone", str(k), rng.normal(level, sd, shape).astype(np.float32))
    for name, level in (("air", AIR_HU), ("water", WATER_HU)):
        for k in range(HOSTS // 4):
            quiet = rng.normal(level, rng.uniform(5, 30), shape).astype(np.float32)
            yield Shown(f"{name} and a scanner's noise", str(k), quiet)


def _masses(folder: Path, spec: PatchSpec) -> Iterator[Shown]:
    for row, ct_slice in _chest_slices(folder):
        if row["reading"] in MASSES and row["column"]:
            centre = (float(row["column"]), float(row["row"]))
            yield Shown("mass", row["patient"], _cut(ct_slice, centre, spec))
            name = f"mass, pixels {MASS_ZOOM:g} times as large"
            yield Shown(name, row["patient"], _cut(ct_slice, centre, spec.zoomed(MASS_ZOOM)))


def _organs(data: Path, spec: PatchSpec, rng: np.random.Generator) -> Iterator[Shown]:
    for row, ct_slice in _chest_slices(data / "chest-slices"):
        if row["region"] not in ("chest", "lung base"):
            for centre in places_in_body(ct_slice, rng):
                yield Shown(f"places in {row['region']} (chest-slices)", row["patient"], _cut(ct_slice, centre, spec))
    for path in sorted((data / "not-lung-ct").glob("CT_*.dcm")):
        organ = next((organ for start, organ in ORGANS.items() if path.name.startswith(start)), None)
        with suppress(InputError):
            ct_slice = read_slice(path.read_bytes())
            for centre in places_in_body(ct_slice, rng) if organ else ():
                yield Shown(f"places in {organ} (not-lung-ct)", path.name, _cut(ct_slice, centre, spec))


def _chest_slices(folder: Path) -> Iterator[tuple[dict[str, str], CTSlice]]:
    with (folder / "slices.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield row, read_slice((folder / row["file"]).read_bytes())


def places_in_body(ct_slice: CTSlice, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Up to PLACES (column, row) whose patch lies in the body."""
    inside: NDArray[np.uint8] = (ct_slice.hu > BODY_HU).astype(np.uint8)
    rows_px, columns_px = (max(1, round(MARGIN_MM / mm)) for mm in ct_slice.spacing_mm)
    deep = cv2.erode(inside, np.ones((2 * rows_px + 1, 2 * columns_px + 1), np.uint8), borderValue=0)
    found = np.argwhere(deep > 0)
    chosen = rng.permutation(len(found))[:PLACES]
    return [(float(column), float(row)) for row, column in found[chosen]]
