"""Lung field of a whole series: the air pockets of each slice, joined through the slices, closed slice by slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from app.imaging.aeration import SidesAt, patient_sides
from app.imaging.ct import FloatImage
from app.imaging.lung_closing import ByteMask, closed
from app.imaging.lungs import WORK_SPACING_MM, Mask, air_pockets, edge_of_view, shrink
from app.imaging.volume import CTVolume

Progress = Callable[[int], None]

MIN_POCKET_MM2: Final = 30.0  # the last slices of an apex or a recess; what lies above or below tells lung from bowel
MIN_LUNG_ML: Final = 100.0  # a shrunken lung holds several times as much; the trachea half
MIN_LUNG_HEIGHT_MM: Final = 30.0  # gas in a stomach lies flat; half the scan where that is less
SIDES_MM: Final = 5.0  # between slices on which the sides are compared
MIN_SECTION_CM2: Final = 10.0  # MIN_LUNG_ML in a scan of a few slices: this much on each


@dataclass(frozen=True, slots=True, eq=False)
class VolumeLungs:
    """Lungs of a CTVolume, held at about WORK_SPACING_MM in plane, eight pixels a byte (9 kB a slice).

    `areas_cm2` and `cut_mm`, float64 (slices,), are the lung's area on each slice and the length along which it
    touches the edge of the view. `shape` is (rows, columns) of the volume's slices, `work_shape` of the masks held.
    `sides` are those of a slice about every SIDES_MM that shows lung, from below.
    """

    packed: NDArray[np.uint8]
    shape: tuple[int, int]
    work_shape: tuple[int, int]
    areas_cm2: NDArray[np.float64]
    cut_mm: NDArray[np.float64]
    volume_ml: float
    sides: tuple[SidesAt, ...] = ()

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.packed)

    def any(self) -> bool:
        """Whether there is lung on any slice."""
        return bool(self.areas_cm2.any())

    def work_mask(self, index: int) -> Mask:
        """Boolean `work_shape`: lung on one slice, reduced; pixel centres as `cv2.resize` places them."""
        rows, columns = self.work_shape
        return np.unpackbits(self.packed[index], count=rows * columns).view(np.bool_).reshape(rows, columns)

    def mask_at(self, index: int) -> Mask:
        """Boolean `shape`: lung on one slice, nodules inside it and on its border included."""
        rows, columns = self.shape
        small = self.work_mask(index).view(np.uint8)
        return cv2.resize(small, (columns, rows), interpolation=cv2.INTER_NEAREST).view(np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _Section:
    """The pockets of one slice that may be lung: the area of each, and its pixels at the edge of the view.

    `below` pairs each pocket's number with one that it overlaps on the slice below. Numbers count from 0 in the order
    in which OpenCV labels their pixels, which is the same every time.
    """

    areas_px: NDArray[np.int64]
    edges_px: NDArray[np.int64]
    below: NDArray[np.int64]


def segment_volume(volume: CTVolume, *, progress: Progress | None = None) -> VolumeLungs:
    """Lungs of a series; every slice is read once.

    Pockets that overlap from slice to slice are one component; kept are those of MIN_LUNG_ML and MIN_LUNG_HEIGHT_MM,
    less in a scan too short for them. `progress` is called with the slices done; what it raises ends the work.
    """
    shape = (int(volume.hu.shape[1]), int(volume.hu.shape[2]))
    work_shape = shrink(volume.hu[0], volume.spacing_mm[1:]).shape
    packed = np.empty((len(volume), math.ceil(math.prod(work_shape) / 8)), np.uint8)
    sections: list[_Section] = []
    labels = np.zeros(work_shape, np.int32)
    for k, image in enumerate(volume.hu):
        section, labels = _section(shrink(image, volume.spacing_mm[1:]), labels)
        sections.append(section)
        packed[k] = np.packbits(labels > 0)
        if progress is not None:
            progress(k + 1)
    components = _kept(_components(sections), sections, volume.spacing_mm[0])
    for k, kept in enumerate(components):
        packed[k] = _closed_section(packed[k], kept, work_shape)
    pixel_cm2 = float(np.prod(volume.spacing_mm[1:])) * np.prod(shape) / np.prod(work_shape) / 100
    areas_cm2 = np.array([float(np.count_nonzero(np.unpackbits(bits))) for bits in packed]) * pixel_cm2
    cut = [s.edges_px[c >= 0].sum() for s, c in zip(sections, components, strict=True)]
    return VolumeLungs(
        packed=packed,
        shape=shape,
        work_shape=(int(work_shape[0]), int(work_shape[1])),
        areas_cm2=areas_cm2,
        cut_mm=np.array(cut, np.float64) * WORK_SPACING_MM,
        volume_ml=float(areas_cm2.sum()) * volume.spacing_mm[0] / 10,
        sides=tuple(_sides(volume, packed, work_shape)),
    )


def _sides(volume: CTVolume, packed: NDArray[np.uint8], work_shape: tuple[int, ...]) -> Iterator[SidesAt]:
    step = max(1, round(SIDES_MM / volume.spacing_mm[0]))
    for k in range(0, len(volume), step):
        mask = np.unpackbits(packed[k], count=math.prod(work_shape)).view(np.bool_).reshape(work_shape)
        if mask.any():
            hu = shrink(volume.hu[k], volume.spacing_mm[1:])
            sides = patient_sides(hu, mask, volume.hu.shape[1:], volume.orientation)
            yield SidesAt(k, step * volume.spacing_mm[0], *sides)


def _section(hu: FloatImage, labels_below: NDArray[np.int32]) -> tuple[_Section, NDArray[np.int32]]:
    labels, pockets = air_pockets(hu, MIN_POCKET_MM2)
    may_be_lung = np.zeros(labels.max() + 1, np.uint8)
    may_be_lung[[p.label for p in pockets if p.dense_as_lung]] = 1
    candidates = may_be_lung[labels]
    count, labels = _labelled(candidates)
    many = int(labels_below.max()) + 1
    # Of the pockets alone: numbers are counted in eight bytes each.
    inside = labels > 0
    here, below = labels[inside], labels_below[inside]
    overlaps = np.bincount(here * many + below, minlength=count * many).reshape(count, many)
    section = _Section(
        areas_px=np.bincount(here, minlength=count)[1:],
        edges_px=np.bincount(labels[edge_of_view(hu) > 0], minlength=count)[1:],
        below=np.argwhere(overlaps[1:, 1:]),
    )
    return section, labels


def _labelled(mask: ByteMask) -> tuple[int, NDArray[np.int32]]:
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    return count, np.asarray(labels, np.int32)


def _components(sections: list[_Section]) -> list[NDArray[np.int64]]:
    """For each slice the component in space of each of its pockets."""
    counts = [len(s.areas_px) for s in sections]
    first = np.concatenate([[0], np.cumsum(counts)])
    edges = np.concatenate([s.below + np.array([first[k], first[k - 1]]) for k, s in enumerate(sections)])
    total = int(first[-1])
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(total, total))
    _, components = connected_components(graph, directed=False)
    return np.split(np.asarray(components, np.int64), first[1:-1])


def _kept(components: list[NDArray[np.int64]], sections: list[_Section], slice_mm: float) -> list[NDArray[np.int64]]:
    """`components` with -1 for those too small or too flat to be a lung."""
    height_mm = len(sections) * slice_mm
    count = 1 + max((int(c.max()) for c in components if c.size), default=-1)
    volume_ml, slices = np.zeros(count), np.zeros(count)
    for component, section in zip(components, sections, strict=True):
        np.add.at(volume_ml, component, section.areas_px * (WORK_SPACING_MM**2 * slice_mm / 1000))
        slices[np.unique(component)] += 1
    large = volume_ml >= min(MIN_LUNG_ML, MIN_SECTION_CM2 * height_mm / 10)
    tall = slices * slice_mm >= min(MIN_LUNG_HEIGHT_MM, height_mm / 2)
    return [np.where((large & tall)[c], c, -1) for c in components]


def _closed_section(
    packed: NDArray[np.uint8], components: NDArray[np.int64], work_shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    pixels = np.unpackbits(packed, count=math.prod(work_shape)).reshape(work_shape)
    _, labels = _labelled(pixels)
    groups = [(1 + np.flatnonzero(components == c)).tolist() for c in np.unique(components) if c >= 0]
    return np.packbits(closed(labels, groups, WORK_SPACING_MM))
