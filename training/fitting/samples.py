"""Patches for the network, cut by the code that serving uses, and the random changes made to training samples.

Every view is float32 (size, size) in HU. The order of the changes follows a scanner's: geometry first (turn,
mirror, cut), then the signal (offset, blur, noise), then the archive (lossy compression).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec, resample
from training.data.development import LUNA_SPACING_MM
from training.data.nodules import Candidate, FalseFinding, Nodule
from training.fitting.config import AugmentConfig, InputConfig

MIRROR_PX = 40  # enough for any turn, jitter or negative; smaller than a patch, as mirroring needs
NEIGHBOUR_CLEARANCE_MM = 10.0  # other nodules of the series; most are smaller than 20 mm
MAX_NODULE_MM = 30.0  # larger is a mass (Fleischner Society); stands in for a diameter that is not known
EDGE_PX = 3  # a negative's centre stays on real pixels
STRUCTURE_HU = 60.0  # a difference of Gaussians above this is a vessel, rib or pleura, not noise
PEAKS = 0.5  # share of the structures that are taken at a local maximum
OUTLINE_LEVEL = 0.5

AIR, LUNG, FAT, TISSUE, BONE = -1000.0, -850.0, -100.0, 40.0, 500.0
EASY_PAIRS = ((AIR, AIR), (LUNG, LUNG), (TISSUE, TISSUE), (FAT, FAT), (BONE, BONE), (AIR, TISSUE), (AIR, FAT),
              (LUNG, TISSUE), (FAT, TISSUE), (TISSUE, BONE), (BONE, BONE), (TISSUE, TISSUE))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """`hu` float32 (size, size) and, for a nodule with an outline, the outline as a fraction 0-1 per pixel."""

    hu: FloatImage
    outline: FloatImage | None = None


def nodule_view(nodule: Nodule, spec: PatchSpec) -> View:
    """The nodule exactly as serving would cut it, centred on its middle."""
    middle = _middle(nodule.hu)
    spacing = (nodule.spacing_mm, nodule.spacing_mm)
    hu, _ = resample(nodule.hu.astype(np.float32), spacing, middle, spec)
    if nodule.outline is None:
        return View(hu)
    outline, _ = resample(nodule.outline.astype(np.float32), spacing, middle, spec)
    return View(hu, outline)


def candidate_view(candidate: Candidate, spec: PatchSpec) -> View:
    """The candidate as serving would cut it, at the spacing it is assumed to have."""
    hu, _ = resample(candidate.hu, (LUNA_SPACING_MM, LUNA_SPACING_MM), _middle(candidate.hu), spec)
    return View(hu)


def random_nodule(nodule: Nodule, patch: InputConfig, augment: AugmentConfig, rng: np.random.Generator) -> View:
    """A nodule, turned, mirrored, off-centre by a few millimetres and degraded."""
    drawn = nodule.drawn
    hu, outline = nodule.hu.astype(np.float32), _extent(nodule).astype(np.float32) if drawn is None else drawn
    if rng.random() < augment.crop:
        hu, outline = _cut_beside(hu, outline, augment.crop_margin_px, rng)
    if rng.random() < augment.rotate:
        hu, outline = _turned((hu, outline), rng.uniform(0, 360))
    reach_mm = augment.jitter_mm + augment.jitter_of_radius * _radius_mm(nodule, 0.0)
    centre = _jittered(_middle(hu), reach_mm / nodule.spacing_mm, rng)
    spacing = nodule.spacing_mm * rng.uniform(1 - augment.zoom, 1 + augment.zoom)
    symmetry = int(rng.integers(8))
    cut = _cut(hu, spacing, centre, patch.patch_spec)
    mask = _mirrored(_cut(outline, spacing, centre, patch.patch_spec), symmetry)
    hu = degraded(_mirrored(cut, symmetry), patch.clip_hu, augment, rng)
    return View(hu, None if drawn is None else mask)


def random_negative(
    nodule: Nodule, patch: InputConfig, augment: AugmentConfig, rng: np.random.Generator
) -> View | None:
    """A place in the nodule's own patch, well away from it and its neighbours; None when there is no such place."""
    hu = nodule.hu.astype(np.float32)
    allowed = _away(nodule, augment)
    if rng.random() < augment.negative_on_structure:
        structured = allowed & _structures(hu, peaks=rng.random() < PEAKS)
        allowed = structured if structured.any() else allowed
    if not allowed.any():
        return None
    row, column = rng.choice(np.argwhere(allowed))
    spacing = nodule.spacing_mm * rng.uniform(1 - augment.zoom, 1 + augment.zoom)
    cut = _cut(hu, spacing, (float(column), float(row)), patch.patch_spec)
    return View(degraded(_mirrored(cut, int(rng.integers(8))), patch.clip_hu, augment, rng))


def random_candidate(
    candidate: Candidate, patch: InputConfig, augment: AugmentConfig, rng: np.random.Generator
) -> View:
    """A LUNA candidate, turned, mirrored, off-centre and degraded."""
    return _random_place(candidate.hu, LUNA_SPACING_MM, augment.luna_zoom, patch, augment, rng)


def random_false_finding(
    found: FalseFinding, patch: InputConfig, augment: AugmentConfig, rng: np.random.Generator
) -> View:
    """A false finding of a scan, turned, mirrored, off-centre and degraded."""
    return _random_place(found.hu.astype(np.float32), found.spacing_mm, augment.zoom, patch, augment, rng)


def _random_place(
    hu: FloatImage,
    spacing_mm: float,
    zoom: float,
    patch: InputConfig,
    augment: AugmentConfig,
    rng: np.random.Generator,
) -> View:
    if rng.random() < augment.rotate:
        (hu,) = _turned((hu,), rng.uniform(0, 360))
    centre = _jittered(_middle(hu), augment.jitter_mm / spacing_mm, rng)
    cut = _cut(hu, spacing_mm * rng.uniform(1 - zoom, 1 + zoom), centre, patch.patch_spec)
    return View(degraded(_mirrored(cut, int(rng.integers(8))), patch.clip_hu, augment, rng))


def random_easy_negative(patch: InputConfig, augment: AugmentConfig, rng: np.random.Generator) -> View:
    """Generated: one tissue or a straight border between two, with a random texture. No patch data shows it."""
    size = patch.size_px
    low, high = EASY_PAIRS[int(rng.integers(len(EASY_PAIRS)))]
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-size / 2, size / 2)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    side = 1 / (1 + np.exp(-np.clip((x * np.cos(angle) + y * np.sin(angle) - offset) * rng.uniform(0.7, 3), -30, 30)))
    texture = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), rng.uniform(0.8, 4))
    amplitude = rng.uniform(0, 250 if high == BONE else 50)
    hu = low + (high - low) * side + rng.normal(0, 40) + amplitude * texture / (texture.std() + 1e-6)
    return View(degraded(hu.astype(np.float32), patch.clip_hu, augment, rng))


def degraded(
    hu: FloatImage, window_hu: tuple[float, float], augment: AugmentConfig, rng: np.random.Generator
) -> FloatImage:
    """Offset, blur, noise and JPEG, each at random, so that noise and sharpness do not tell the sources apart."""
    hu = hu + np.float32(rng.uniform(-augment.shift_hu, augment.shift_hu))
    if rng.random() < augment.blur:
        hu = cv2.GaussianBlur(hu, (0, 0), rng.uniform(*augment.blur_sigma_px)).astype(np.float32)
    if rng.random() < augment.noise:
        noise = rng.standard_normal(hu.shape, np.float32)
        hu = hu + noise * np.float32(rng.uniform(*augment.noise_hu))
    if rng.random() < augment.jpeg:
        low, high = augment.jpeg_quality
        hu = _through_jpeg(hu, window_hu, int(rng.integers(low, high + 1)))
    return hu


def _through_jpeg(hu: FloatImage, window_hu: tuple[float, float], quality: int) -> FloatImage:
    low, high = window_hu
    stored = np.round(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    return np.asarray(decoded, np.float32) * np.float32((high - low) / 255) + np.float32(low)


def _cut(image: FloatImage, spacing: float, centre: tuple[float, float], spec: PatchSpec) -> FloatImage:
    # Mirror first: repeating the outermost pixel draws streaks that only jittered samples would have.
    margin = min(MIRROR_PX, min(image.shape) - 1)
    padded = np.pad(image, margin, mode="reflect")
    column, row = centre
    return resample(padded, (spacing, spacing), (column + margin, row + margin), spec)[0]


def _cut_beside(
    hu: FloatImage, outline: FloatImage, margin: int, rng: np.random.Generator
) -> tuple[FloatImage, FloatImage]:
    """Replace what lies beyond a random line beside the nodule by its mirror image, as at a patch's edge."""
    turns = int(rng.integers(4))
    hu, outline = np.rot90(hu, turns), np.rot90(outline, turns)
    columns = np.flatnonzero(outline.any(axis=0))
    first = int(columns[-1]) + 1 + margin if len(columns) else hu.shape[1] // 2 + margin
    if first >= hu.shape[1] - 1:
        return hu, outline
    keep = int(rng.integers(first, hu.shape[1]))
    beyond = ((0, 0), (0, hu.shape[1] - keep))
    return np.pad(hu[:, :keep], beyond, mode="reflect"), np.pad(outline[:, :keep], beyond)


def _turned(images: tuple[FloatImage, ...], degrees: float) -> tuple[FloatImage, ...]:
    rows, columns = images[0].shape
    matrix = cv2.getRotationMatrix2D(_middle(images[0]), degrees, 1.0)
    mode = cv2.BORDER_REFLECT_101
    return tuple(
        np.asarray(cv2.warpAffine(np.ascontiguousarray(i), matrix, (columns, rows), borderMode=mode), np.float32)
        for i in images
    )


def _away(nodule: Nodule, augment: AugmentConfig) -> NDArray[np.bool_]:
    """Pixels that may be a negative's centre."""
    clear = cv2.distanceTransform((~_extent(nodule)).astype(np.uint8), cv2.DIST_L2, 3) * nodule.spacing_mm
    rows, columns = nodule.hu.shape
    y, x = np.mgrid[:rows, :columns]
    column, row = _middle(nodule.hu)
    reach = _radius_mm(nodule, MAX_NODULE_MM / 2) + augment.negative_reach_mm
    allowed = (clear >= augment.negative_clearance_mm) & (np.hypot(x - column, y - row) * nodule.spacing_mm <= reach)
    for other_column, other_row in nodule.neighbours_px:
        dx, dy = other_column - nodule.point_px[0] + column, other_row - nodule.point_px[1] + row
        allowed &= np.hypot(x - dx, y - dy) * nodule.spacing_mm >= NEIGHBOUR_CLEARANCE_MM
    allowed[:EDGE_PX] = allowed[-EDGE_PX:] = allowed[:, :EDGE_PX] = allowed[:, -EDGE_PX:] = False
    return np.asarray(allowed, np.bool_)


def _extent(nodule: Nodule) -> NDArray[np.bool_]:
    """Where the nodule may be: its outline, or a disc of its diameter, or of the largest nodule's."""
    if nodule.outline is not None:
        return nodule.outline
    column, row = _middle(nodule.hu)
    y, x = np.mgrid[: nodule.hu.shape[0], : nodule.hu.shape[1]]
    return np.asarray(np.hypot(x - column, y - row) * nodule.spacing_mm <= _radius_mm(nodule, MAX_NODULE_MM / 2))


def _radius_mm(nodule: Nodule, unknown: float) -> float:
    return unknown if math.isnan(nodule.diameter_mm) else nodule.diameter_mm / 2


def _structures(hu: FloatImage, *, peaks: bool) -> NDArray[np.bool_]:
    """Pixels of vessels, ribs and pleura, or only the places where a blob detector would stop."""
    clipped = np.clip(hu, AIR, 400)
    fine, coarse = cv2.GaussianBlur(clipped, (0, 0), 1.2), cv2.GaussianBlur(clipped, (0, 0), 6)
    structure = fine - coarse > STRUCTURE_HU
    return np.asarray(structure & (fine >= cv2.dilate(fine, np.ones((5, 5)))) if peaks else structure, np.bool_)


def _mirrored(image: FloatImage, symmetry: int) -> FloatImage:
    turned = np.rot90(image, symmetry % 4)
    return np.ascontiguousarray(turned[:, ::-1] if symmetry >= 4 else turned)


def _jittered(middle: tuple[float, float], reach_px: float, rng: np.random.Generator) -> tuple[float, float]:
    angle, distance = rng.uniform(0, 2 * np.pi), reach_px * np.sqrt(rng.random())
    return middle[0] + distance * float(np.cos(angle)), middle[1] + distance * float(np.sin(angle))


def _middle(image: NDArray[np.float32] | NDArray[np.int16]) -> tuple[float, float]:
    # LIDC patches are cut around floor(bounding-box middle): the nodule sits on pixel size // 2 = 35 of 71.
    return float(image.shape[1] // 2), float(image.shape[0] // 2)
