"""Training samples of the candidate filter: nodules, what a blob detector takes for them, and scanners' looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.candidates import find_candidates
from app.imaging.ct import CTSlice, FloatImage, SliceSource
from app.imaging.patches import PatchSpec, resample
from app.imaging.planes import PLANES, Plane, PointVx, plane_patch
from app.imaging.volume import CTVolume
from training.data.nodules import Dataset, Nodule
from training.detector.config import DetectorConfig, PositivesConfig, ScannerConfig
from training.fitting.samples import (
    MIRROR_PX,
    NEIGHBOUR_CLEARANCE_MM,
    degraded,
    random_candidate,
    random_easy_negative,
    random_negative,
    random_nodule,
)

BLOB_JITTER_MM: Final = 1.0  # blobs come with the detector's own error; this varies the patch
LUNG_LIKE_HU: Final = -500.0
WALL_MM: Final = 8.0  # of a patch's soft tissue next to lung, where the lung mask of a whole slice would still reach
SHARPEN_SIGMA_PX: Final = 1.0

Rng = np.random.Generator
Draw = Callable[[Rng], FloatImage]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class PatchBlob:
    """A blob in a nodule's patch, away from the nodule: `hu` int16 (71, 71), (column, row) in its pixels."""

    hu: NDArray[np.int16]
    spacing_mm: float
    centre_px: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ScanBlob:
    """A false candidate of a scan, seen in one of the three planes."""

    volume: CTVolume
    point: PointVx
    plane: Plane


def patch_blobs(nodule: Nodule, clearance_mm: float, spec: PatchSpec) -> tuple[PatchBlob, ...]:
    """Blobs at least `clearance_mm` from the nodule's outline, clear of its neighbours, that the patch mostly fills."""
    hu = nodule.hu.astype(np.float32)
    rows, columns = hu.shape
    ct_slice = CTSlice(hu, (nodule.spacing_mm, nodule.spacing_mm), SliceSource("array", rows, columns))
    clear = _clear_mm(nodule)
    margin = spec.size_px * spec.spacing_mm / 2 / nodule.spacing_mm * 0.75
    blobs = []
    for found in find_candidates(ct_slice, _lungs(hu, nodule.spacing_mm)):
        column, row = found.centre_px
        inside = min(column, row, columns - 1 - column, rows - 1 - row) >= margin
        if inside and clear[round(row), round(column)] >= clearance_mm:
            blobs.append(PatchBlob(nodule.hu, nodule.spacing_mm, found.centre_px))
    return tuple(blobs)


def scan_blobs(volume: CTVolume, points: Sequence[PointVx]) -> tuple[ScanBlob, ...]:
    """Every point in every plane."""
    return tuple(ScanBlob(volume, point, plane) for point in points for plane in PLANES)


def scan_blob_view(blob: ScanBlob, spec: PatchSpec) -> FloatImage:
    """The blob as serving cuts it."""
    return plane_patch(blob.volume, blob.point, blob.plane, spec)


def patch_blob_view(blob: PatchBlob, spec: PatchSpec) -> FloatImage:
    """The blob's surroundings, mirrored at the edge of the patch it lies in, as a nodule's are."""
    margin = min(MIRROR_PX, min(blob.hu.shape) - 1)
    padded = np.pad(blob.hu.astype(np.float32), margin, mode="reflect")
    column, row = blob.centre_px
    return resample(padded, (blob.spacing_mm, blob.spacing_mm), (column + margin, row + margin), spec)[0]


def drawing_weight(nodule: Nodule, positives: PositivesConfig) -> float:
    """How often a nodule is drawn, relative to a large one that every reader marked."""
    agreed = positives.by_readers[min(nodule.readers, len(positives.by_readers)) - 1]
    return agreed * (positives.small if nodule.diameter_mm < positives.small_mm else 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Negatives(Generic[T]):
    """Places that are no nodule, and those of them that a first network takes for one."""

    blobs: Sequence[T] = ()
    hardest: Sequence[T] = ()

    def draw(self, hardest_share: float, rng: Rng) -> T:
        """One of the hardest with that probability, else any."""
        pool = self.hardest if len(self.hardest) and rng.random() < hardest_share else self.blobs
        return pool[int(rng.integers(len(pool)))]


class DetectorBatches:
    """Batches by number: `hu` float32 (N, size, size, 1) and 1 for a nodule (N, 1); batch k depends on k alone."""

    def __init__(
        self, dataset: Dataset, in_patches: Negatives[PatchBlob], in_scans: Negatives[ScanBlob], config: DetectorConfig
    ) -> None:
        self._config = config
        self._nodules = dataset.nodules
        weights = np.array([drawing_weight(n, config.positives) for n in self._nodules])
        self._weights = weights / weights.sum()
        self._luna = tuple(tuple(c for c in dataset.candidates if c.is_nodule is kind) for kind in (False, True))
        self._in_patches, self._in_scans = in_patches, in_scans

    def __call__(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Batch `number`, from 0."""
        rng = np.random.default_rng([self._config.seed, number])
        count = self._config.sources
        kinds: tuple[tuple[Draw, int, float], ...] = (
            (self._nodule, count.lidc_nodules, 1.0),
            (self._luna_nodule, count.luna_nodules, 1.0),
            (self._patch_blob, count.lidc_blobs, 0.0),
            (self._beside, count.lidc_beside, 0.0),
            (self._luna_negative, count.luna_negatives, 0.0),
            (self._scan_blob, count.scan_blobs, 0.0),
            (self._easy, count.generated, 0.0),
        )
        rows = [(draw(rng), target) for draw, times, target in kinds for _ in range(times)]
        return np.stack([hu for hu, _ in rows])[..., None], np.array([[target] for _, target in rows], np.float32)

    def _nodule(self, rng: Rng) -> FloatImage:
        nodule = self._nodules[int(rng.choice(len(self._nodules), p=self._weights))]
        return self._scanned(random_nodule(nodule, self._config.input, self._config.augment, rng).hu, rng)

    def _luna_nodule(self, rng: Rng) -> FloatImage:
        return self._candidate(True, rng) if self._luna[True] else self._nodule(rng)

    def _luna_negative(self, rng: Rng) -> FloatImage:
        return self._candidate(False, rng) if self._luna[False] else self._beside(rng)

    def _candidate(self, is_nodule: bool, rng: Rng) -> FloatImage:
        pool = self._luna[is_nodule]
        chosen = pool[int(rng.integers(len(pool)))]
        return self._scanned(random_candidate(chosen, self._config.input, self._config.augment, rng).hu, rng)

    def _beside(self, rng: Rng) -> FloatImage:
        nodule = self._nodules[int(rng.integers(len(self._nodules)))]
        view = random_negative(nodule, self._config.input, self._config.augment, rng)
        return self._easy(rng) if view is None else self._scanned(view.hu, rng)

    def _easy(self, rng: Rng) -> FloatImage:
        return random_easy_negative(self._config.input, self._config.augment, rng).hu

    def _patch_blob(self, rng: Rng) -> FloatImage:
        if not self._in_patches.blobs:
            return self._beside(rng)
        blob = self._in_patches.draw(self._config.mining.hardest_share, rng)
        moved = (self._jittered(blob.centre_px[0], blob.spacing_mm, rng),
                 self._jittered(blob.centre_px[1], blob.spacing_mm, rng))  # fmt: skip
        hu = patch_blob_view(replace(blob, centre_px=moved), self._zoomed(rng))
        return self._scanned(self._degraded(_mirrored(hu, rng), rng), rng)

    def _scan_blob(self, rng: Rng) -> FloatImage:
        if not self._in_scans.blobs:
            return self._patch_blob(rng)
        blob = self._in_scans.draw(self._config.mining.hardest_share, rng)
        column, row, index = blob.point
        between, down, across = blob.volume.spacing_mm
        moved = (
            self._jittered(column, across, rng),
            self._jittered(row, down, rng),
            self._jittered(index, between, rng),
        )
        hu = self._degraded(_mirrored(scan_blob_view(replace(blob, point=moved), self._zoomed(rng)), rng), rng)
        # Those seen from the side already show the slices' thickness.
        return self._scanned(hu, rng) if blob.plane == "axial" else hu

    def _jittered(self, at: float, spacing_mm: float, rng: Rng) -> float:
        return at + float(rng.uniform(-BLOB_JITTER_MM, BLOB_JITTER_MM)) / spacing_mm

    def _zoomed(self, rng: Rng) -> PatchSpec:
        spec, zoom = self._config.input.patch_spec, self._config.augment.zoom
        return PatchSpec(spec.size_px, spec.spacing_mm / rng.uniform(1 - zoom, 1 + zoom))

    def _degraded(self, hu: FloatImage, rng: Rng) -> FloatImage:
        return degraded(hu, self._config.input.clip_hu, self._config.augment, rng)

    def _scanned(self, hu: FloatImage, rng: Rng) -> FloatImage:
        return rescanned(hu, self._config.input.spacing_mm, self._config.scanner, rng)


def rescanned(hu: FloatImage, spacing_mm: float, scanner: ScannerConfig, rng: Rng) -> FloatImage:
    """At random, as if seen across thick slices, and as if reconstructed with a sharper kernel."""
    if rng.random() < scanner.slab:
        rows, columns = hu.shape
        slabs = max(2, round(rows * spacing_mm / rng.uniform(*scanner.slab_mm)))
        thick = cv2.resize(hu, (columns, slabs), interpolation=cv2.INTER_AREA)
        hu = _mirrored(np.asarray(cv2.resize(thick, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32), rng)
    if rng.random() < scanner.sharpen:
        smooth = cv2.GaussianBlur(hu, (0, 0), SHARPEN_SIGMA_PX)
        hu = np.asarray(hu + np.float32(rng.uniform(*scanner.sharpen_amount)) * (hu - smooth), np.float32)
    return hu


def _mirrored(image: FloatImage, rng: Rng) -> FloatImage:
    symmetry = int(rng.integers(8))
    turned = np.rot90(image, symmetry % 4)
    return np.ascontiguousarray(turned[:, ::-1] if symmetry >= 4 else turned)


def _clear_mm(nodule: Nodule) -> NDArray[np.float32]:
    """(71, 71) distance in mm from the nodule, its neighbours' surroundings being none."""
    rows, columns = nodule.hu.shape
    y, x = np.mgrid[:rows, :columns]
    middle = (columns // 2, rows // 2)
    taken = nodule.outline if nodule.outline is not None else np.hypot(x - middle[0], y - middle[1]) < 1
    clear = cv2.distanceTransform((~taken).astype(np.uint8), cv2.DIST_L2, 5) * np.float32(nodule.spacing_mm)
    for other_column, other_row in nodule.neighbours_px:
        dx, dy = other_column - nodule.point_px[0] + middle[0], other_row - nodule.point_px[1] + middle[1]
        clear[np.hypot(x - dx, y - dy) * nodule.spacing_mm < NEIGHBOUR_CLEARANCE_MM] = 0
    return np.asarray(clear, np.float32)


def _lungs(hu: FloatImage, spacing_mm: float) -> NDArray[np.bool_]:
    """What a whole slice's lung mask would hold of a patch: air-like tissue and what is within WALL_MM of it."""
    air = (cv2.blur(hu, (3, 3)) < LUNG_LIKE_HU).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(1 - air, cv2.DIST_L2, 5) * spacing_mm <= WALL_MM, np.bool_)
