"""How one scan lies to another: the rotation and the shift that lay the lungs of one over those of the other.

Distances to the surface of both lungs are made equal at points around it, by least squares in which the far ones count
less (Fitzgibbon 2003, doi 10.1016/j.imavis.2003.09.004): a breath moves the diaphragm, and little else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from app.comparison.lung_shape import LungShape, Matrix, Points, inverse, moved
from app.imaging.ct import PointMm

BAND_MM: Final = 10.0  # points so far from a surface at most: their distance is to the same piece of it in both
POINTS: Final = 6000  # of two square decimetres of surface
FAR_MM: Final = 3.0  # from here on a distance counts less: a breath, not the way the scan lies
LOSSES: Final = ("soft_l1", "cauchy")  # the first finds the way from afar, the second leaves a breath out
ARM_MM: Final = 100.0  # half of a lung's height: a rotation by one unit moves its ends as far as a shift by one
MIN_OVERLAP: Final = 0.75  # Dice; lungs of one patient in two breaths share more, those of two patients seldom


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """From the prior scan to the current one, (4, 4) in patient mm; `middle_mm` is that of the prior's lungs.

    `overlap` is Dice's coefficient of both lungs where both scans have slices, `apart_mm` the median distance between
    their surfaces.
    """

    matrix: Matrix
    overlap: float
    apart_mm: float
    middle_mm: PointMm

    @property
    def is_good(self) -> bool:
        """Whether places may be compared by it."""
        return self.overlap >= MIN_OVERLAP

    @property
    def rotation_deg(self) -> float:
        """By which one scan is turned to the other."""
        cosine = (float(np.trace(self.matrix[:3, :3])) - 1) / 2
        return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))

    @property
    def shift_mm(self) -> float:
        """By which the middle of the lungs has moved."""
        return math.dist(self.middle_mm, self.to_current(self.middle_mm))

    def to_current(self, point_mm: PointMm) -> PointMm:
        """A place of the prior scan in the current one."""
        return _point(moved(self.matrix, np.array([point_mm])))

    def to_prior(self, point_mm: PointMm) -> PointMm:
        """A place of the current scan in the prior one."""
        return _point(moved(inverse(self.matrix), np.array([point_mm])))


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """Distances in mm to the surface of lungs, positive inside, on the grid of a shape."""

    distances: NDArray[np.float64]
    to_mm: Matrix

    @classmethod
    def of(cls, shape: LungShape) -> _Field:
        inside, outside = (distance_transform_edt(m, sampling=shape.spacing_mm) for m in (shape.mask, ~shape.mask))
        # A voxel beside the surface is half a voxel from it.
        half_mm = np.mean(shape.spacing_mm) / 2
        return cls(np.where(shape.mask, inside - half_mm, half_mm - outside), shape.to_mm)

    def at(self, points_mm: Points) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The distances at (N, 3) points, and which of these lie on the grid."""
        places = moved(inverse(self.to_mm), points_mm)
        last = np.array(self.distances.shape) - 1
        on_grid = np.asarray(((places >= 0) & (places <= last)).all(axis=1), np.bool_)
        return map_coordinates(self.distances, places.T, order=1, mode="nearest"), on_grid


def align(prior: LungShape, current: LungShape) -> Alignment:
    """Lay the lungs of the prior scan over those of the current one."""
    # Imports SciPy's optimisers: for those who compare.
    from scipy.optimize import least_squares

    fields = _Field.of(prior), _Field.of(current)
    near = np.argwhere(np.abs(fields[0].distances) <= BAND_MM)
    points = moved(prior.to_mm, near[:: max(1, len(near) // POINTS)].astype(np.float64))
    wanted, _ = fields[0].at(points)
    centre = points.mean(axis=0)

    def gaps(pose: NDArray[np.float64], beyond: float = 0.0) -> NDArray[np.float64]:
        found, on_grid = fields[1].at(moved(_matrix(pose, centre), points))
        return np.where(on_grid, np.clip(found, -2 * BAND_MM, 2 * BAND_MM) - wanted, beyond)

    starts = [np.concatenate([np.zeros(3), shift]) for shift in _first_shifts(prior, current)]
    # What lies beyond the other scan costs at the start, or a start beside it would be the best.
    pose = min(starts, key=lambda start: float(np.abs(gaps(start, BAND_MM)).mean()))
    for loss in LOSSES:
        pose = least_squares(gaps, pose, loss=loss, f_scale=FAR_MM).x
    matrix = _matrix(pose, centre)
    surface = np.abs(wanted) <= max(prior.spacing_mm)
    apart_mm = float(np.median(np.abs(gaps(pose)[surface])))
    return Alignment(matrix, _overlap(prior, current, matrix), apart_mm, _point(centre[None]))


def _matrix(pose: NDArray[np.float64], centre: NDArray[np.float64]) -> Matrix:
    """From a rotation about `centre`, a vector in units of 1/ARM_MM, and a shift in mm."""
    rotation, _ = cv2.Rodrigues(pose[:3] / ARM_MM)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre + pose[3:] - matrix[:3, :3] @ centre
    return matrix


def _first_shifts(prior: LungShape, current: LungShape) -> list[NDArray[np.float64]]:
    """No shift at all, and those that lay the middles, the tops or the bottoms of the lungs over each other."""
    one, other = (moved(shape.to_mm, np.argwhere(shape.mask).astype(np.float64)) for shape in (prior, current))
    middle = other.mean(axis=0) - one.mean(axis=0)
    top, bottom = middle.copy(), middle.copy()
    top[2], bottom[2] = other[:, 2].max() - one[:, 2].max(), other[:, 2].min() - one[:, 2].min()
    return [np.zeros(3), middle, top, bottom]


def _overlap(prior: LungShape, current: LungShape, matrix: Matrix) -> float:
    """Dice's coefficient of both lungs on the voxels of the prior that lie in the current scan."""
    every = 2  # an eighth of the voxels tells as much
    voxels = every * np.indices([math.ceil(n / every) for n in prior.mask.shape]).reshape(3, -1).T
    places = np.rint(moved(inverse(current.to_mm) @ matrix @ prior.to_mm, voxels.astype(np.float64)))
    shared = ((places >= 0) & (places < current.mask.shape)).all(axis=1)
    one = prior.mask[tuple(voxels[shared].T)]
    other = current.mask[tuple(places[shared].astype(np.intp).T)]
    both = int(one.sum()) + int(other.sum())
    return 2 * float((one & other).sum()) / both if both else 0.0


def _point(points: Points) -> PointMm:
    x, y, z = points[0].tolist()
    return x, y, z
