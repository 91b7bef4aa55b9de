"""Samples of the second look: places in patches, slices and scans, and the random views of them that teach it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec, resample
from app.imaging.planes import PLANES, Plane, PointVx
from app.imaging.volume import CTVolume
from app.inference.suspicion import OUTPUTS, FieldsContract
from training.detector.samples import rescanned
from training.fitting.samples import degraded
from training.second_look.config import DomesConfig, EdgesConfig, LookConfig

MARGIN_PX: Final = 4  # of the picture that both fields are cut from, beyond the wide one
EDGE_MM: Final = 3.0  # of tissue around a nodule that a mirror may not cut off
UNLIMITED_MM: Final = (math.inf,) * 4
ARCHIVE_HU: Final = (-1000.0, 400.0)  # the window that LUNA16 patches were compressed in

Rng = np.random.Generator
Section = NDArray[np.int16] | NDArray[np.float32]
Sides = tuple[float, ...]  # up, down, left, right
Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A (column, row) point of a picture in HU, pixels of (down, across) mm. `zoom` 2 is seen twice as coarse."""

    section: Section
    spacing_mm: tuple[float, float]
    centre_px: tuple[float, float]
    zoom: float = 1.0


@dataclass(frozen=True, slots=True)
class Label:
    """What a place is, 0 to 1 each, and how much each counts; 0 where nobody knows."""

    suspicious: float
    nodule: float
    suspicious_counts: float = 1.0
    nodule_counts: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A place, what it is, the radius of what lies there (0 for a blob), and how often it is drawn.

    A `dome` is drawn over the place.
    """

    place: Place
    label: Label
    radius_mm: float = 0.0
    often: float = 1.0
    dome: bool = False


def section_place(volume: CTVolume, point: PointVx, plane: Plane, zoom: float = 1.0) -> Place:
    """A (column, row, slice) point of a volume in the plane through its nearest voxel; a view, nothing is copied."""
    fixed, at = PLANES.index(plane), point[::-1]
    down, across = (axis for axis in range(3) if axis != fixed)
    nearest = min(max(round(at[fixed]), 0), volume.hu.shape[fixed] - 1)
    cut: list[slice | int] = [slice(None)] * 3
    cut[fixed] = nearest
    spacing_mm = (volume.spacing_mm[down], volume.spacing_mm[across])
    return Place(volume.hu[tuple(cut)], spacing_mm, (at[across], at[down]), zoom)


def fields_at(place: Place, contract: FieldsContract) -> FloatImage:
    """Both fields around a place, float32 (size, size, 2) in HU, the picture mirrored at its edge."""
    return np.stack([mirrored_cut(place, spec, UNLIMITED_MM) for spec in contract.specs(place.zoom)], axis=-1)


def mirrored_cut(place: Place, spec: PatchSpec, sides_mm: Sides) -> FloatImage:
    """The patch around a place, what lies beyond `sides_mm` of it, or of the picture, replaced by its mirror image."""
    column, row = place.centre_px
    rows, first_row = _mirrored_axis(row, place.spacing_mm[0], place.section.shape[0], spec, sides_mm[:2])
    columns, first_column = _mirrored_axis(column, place.spacing_mm[1], place.section.shape[1], spec, sides_mm[2:])
    crop = place.section[rows[:, None], columns].astype(np.float32)
    return resample(crop, place.spacing_mm, (column - first_column, row - first_row), spec)[0]


def _mirrored_axis(
    centre: float, source_mm: float, length: int, spec: PatchSpec, sides_mm: Sides
) -> tuple[NDArray[np.intp], int]:
    """Source indices that a patch touches along one axis, and the first of them before it is mirrored."""
    half = (spec.size_px / 2 + 1) * max(1.0, spec.spacing_mm / source_mm) * 1.0
    half = max(half, (spec.size_px / 2 + 1) * spec.spacing_mm / source_mm + 1)
    wanted = np.arange(math.floor(centre - half) - 1, math.ceil(centre + half) + 2)
    before, after = (min(side / source_mm, float(length)) for side in sides_mm)
    low = min(max(0, math.ceil(centre - before)), length - 1)
    high = max(min(length - 1, math.floor(centre + after)), low)
    if high == low:
        return np.full(len(wanted), low), int(wanted[0])
    turned = np.abs(wanted - low) % (2 * (high - low))
    return low + np.minimum(turned, 2 * (high - low) - turned), int(wanted[0])


def random_fields(sample: Sample, config: LookConfig, rng: Rng) -> FloatImage:
    """A sample as some scanner might have shown it to some blob detector, float32 (size, size, 2) in HU."""
    contract, augment = config.input, config.augment
    zoom = sample.place.zoom * rng.uniform(1 - augment.zoom, 1 + augment.zoom)
    place = _moved(sample.place, augment.jitter_mm + augment.jitter_of_radius * sample.radius_mm, rng)
    sides_mm = _sides_mm(config.edges, (sample.radius_mm + EDGE_MM) / sample.place.zoom, zoom, rng)
    size = _picture_px(contract)
    picture = mirrored_cut(place, PatchSpec(size, contract.near_mm * zoom), sides_mm)
    if rng.random() < augment.rotate:
        picture = _turned(picture, rng.uniform(0, 360))
    if sample.dome:
        picture = with_dome(picture, contract.near_mm, config.domes, rng)
    picture = rescanned(_symmetric(picture, rng), contract.near_mm, config.scanner, rng)
    return both_fields(degraded(picture, ARCHIVE_HU, augment, rng), contract)


def with_dome(picture: FloatImage, pixel_mm: float, domes: DomesConfig, rng: Rng) -> FloatImage:
    """A picture of lung with a section of a dome of the diaphragm near its middle."""
    radius, fade, offset = (rng.uniform(*within) for within in (domes.radius_mm, domes.fade_mm, domes.offset_mm))
    angle, direction = rng.uniform(0, 2 * np.pi, 2)
    y, x = (np.mgrid[: picture.shape[0], : picture.shape[1]] - (picture.shape[0] - 1) / 2) * pixel_mm
    x, y = x - offset * math.cos(direction), y - offset * math.sin(direction)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    beyond = np.hypot(along, across / rng.uniform(*domes.ratio)) - radius
    share = (1 / (1 + np.exp(np.clip(4 * beyond / fade, -30, 30)))).astype(np.float32)
    tissue = np.float32(rng.uniform(*domes.tissue_hu))
    return np.asarray(picture + share * np.maximum(tissue - picture, 0), np.float32)


def both_fields(picture: FloatImage, contract: FieldsContract) -> FloatImage:
    """The near and the wide field of a picture at `near_mm` a pixel."""
    middle = (picture.shape[0] - 1) / 2
    spacing_mm = (contract.near_mm, contract.near_mm)
    near, wide = (resample(picture, spacing_mm, (middle, middle), spec)[0] for spec in contract.specs())
    return np.stack([near, wide], axis=-1)


def _picture_px(contract: FieldsContract) -> int:
    """As even as the fields, so that the near one falls on its pixels."""
    size = math.ceil(contract.size_px * contract.wide_mm / contract.near_mm) + MARGIN_PX
    return size + (size - contract.size_px) % 2


def _moved(place: Place, reach_mm: float, rng: Rng) -> Place:
    angle, distance = rng.uniform(0, 2 * np.pi), reach_mm * math.sqrt(rng.random())
    column, row = place.centre_px
    down_mm, across_mm = place.spacing_mm
    moved = (column + distance * math.cos(angle) / across_mm, row + distance * math.sin(angle) / down_mm)
    return replace(place, centre_px=moved)


def _sides_mm(edges: EdgesConfig, least_mm: float, zoom: float, rng: Rng) -> Sides:
    """How far the picture is real up, down, left and right; as far on a coarser picture as it looks on a finer one."""
    ranges = (edges.close_mm if rng.random() < edges.close else edges.usual_mm for _ in range(4))
    return tuple(max(least_mm, float(rng.uniform(*within))) * zoom for within in ranges)


def _turned(picture: FloatImage, degrees: float) -> FloatImage:
    side = picture.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101), np.float32)


def _symmetric(picture: FloatImage, rng: Rng) -> FloatImage:
    symmetry = int(rng.integers(8))
    turned = np.rot90(picture, symmetry % 4)
    return np.ascontiguousarray(turned[:, ::-1] if symmetry >= 4 else turned)


class LookBatches:
    """Batches by number: fields (N, size, size, 2), targets and weights (N, 1) by output; batch k depends on k alone.

    A source without samples is left out of every batch.
    """

    def __init__(self, pools: Mapping[str, Sequence[Sample]], config: LookConfig) -> None:
        self._config = config
        counts = config.sources.model_dump()
        self._pools = [(pools[name], _shares(pools[name]), counts[name]) for name in counts if pools.get(name)]

    def __call__(self, number: int) -> tuple[FloatImage, Arrays, Arrays]:
        """Batch `number`, from 0."""
        rng = np.random.default_rng([self._config.seed, number])
        drawn = [
            pool[k] for pool, shares, count in self._pools for k in rng.choice(len(pool), count, p=shares).tolist()
        ]
        fields = np.stack([random_fields(sample, self._config, rng) for sample in drawn])
        labels = [sample.label for sample in drawn]
        targets = {name: _column(getattr(label, name) for label in labels) for name in OUTPUTS}
        weights = {name: _column(getattr(label, f"{name}_counts") for label in labels)[:, 0] for name in OUTPUTS}
        return fields, targets, weights


def _shares(samples: Sequence[Sample]) -> NDArray[np.float64]:
    often = np.array([sample.often for sample in samples])
    return np.asarray(often / often.sum(), np.float64)


def _column(values: object) -> NDArray[np.float32]:
    return np.array([[value] for value in values], np.float32)  # type: ignore[attr-defined]
