"""What the network says about patches, in the pixels and millimetres of where they were cut from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import Patch, PatchSpec, PatchTransform
from app.inference.backends import Outputs
from app.inference.conformal import soft_diameter_mm
from app.inference.model import Model
from app.inference.prediction import Evidence, Trait

MASK_THRESHOLD: Final = 0.5
SURE: Final = 0.9  # what is in the outline of nine readers in ten
POSSIBLE: Final = 0.1  # what is in that of one
FINER: Final = 4  # a contour through pixels' centres is half a pixel too small all round
MAX_CENTRE_OFFSET_MM: Final = 3.0  # an outline further from the patch's middle belongs to a neighbour


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The predicted nodule at the middle of a patch: its border as (N, 2) source (column, row), and its area.

    `component` is it on the patch, boolean (size, size); `sure_mm2` and `possible_mm2` are the areas that it has from
    the probabilities SURE and POSSIBLE on.
    """

    points_px: NDArray[np.float64]
    area_mm2: float
    component: NDArray[np.bool_]
    sure_mm2: float
    possible_mm2: float

    @property
    def diameter_mm(self) -> float:
        """Of the circle with this area."""
        return 2 * math.sqrt(self.area_mm2 / math.pi)


@dataclass(frozen=True, slots=True, eq=False)
class PatchOutputs:
    """The network's outputs for N patches, patch axis first; those `strange` (N,) are unlike the training data, and on
    those of `no_nodule` (N,) it sees none. `soft_diameters_mm` (N,) are what prediction sets take."""

    patches: Sequence[Patch]
    outputs: Outputs
    strange: NDArray[np.bool_]
    no_nodule: NDArray[np.bool_]
    soft_diameters_mm: NDArray[np.float64]

    def outline(self, n: int) -> Outline | None:
        """The outline on patch `n`, if there is one at its middle."""
        return find_outline(self.outputs["mask"][n], self.patches[n].transform)

    def evidence(self, n: int) -> Evidence:
        """The evidence map of patch `n`."""
        return Evidence(self.outputs["evidence"][n], _rectangle(self.patches[n].transform))


def run_patches(patches: Sequence[Patch], model: Model) -> PatchOutputs:
    """Run the network on all of at least one patch at once."""
    outputs = model.run(list(patches))
    strange = model.distance(outputs["embedding"]) > model.manifest.out_of_distribution.threshold
    sizes_mm = soft_diameter_mm(outputs["mask"], model.manifest.input.spacing_mm)
    return PatchOutputs(patches, outputs, strange, outputs["nodule"] < model.manifest.nodule_threshold, sizes_mm)


def traits_of(values: NDArray[np.float32], model: Model) -> tuple[Trait, ...]:
    """Ratings (traits,) with the names and scales of the manifest."""
    return tuple(Trait(t.name, v, t.scale) for t, v in zip(model.manifest.traits, values.tolist(), strict=True))


def find_outline(mask: NDArray[np.float32], transform: PatchTransform) -> Outline | None:
    """The component of a (size, size) mask of probabilities at the middle of the patch, or None."""
    spec = transform.spec
    inside = mask > MASK_THRESHOLD
    nearest_first = _around_the_middle(spec)
    within = inside.ravel()[nearest_first]
    if not within.any():
        return None
    nearest = nearest_first[within.argmax()]
    _, labels = cv2.connectedComponents(inside.view(np.uint8))
    component = np.asarray(labels == labels.flat[nearest], np.bool_)
    alone = np.where(component | ~inside, mask, np.float32(0))
    _, wide = cv2.connectedComponents((alone > POSSIBLE).view(np.uint8))
    pixels = (component, component & (mask > SURE), wide == wide.flat[nearest])
    area_mm2, sure_mm2, possible_mm2 = (float(np.count_nonzero(each)) * spec.spacing_mm**2 for each in pixels)
    border_px = transform.to_source_px(_border(alone, cv2.boundingRect(component.view(np.uint8))))
    return Outline(border_px, area_mm2, component, sure_mm2, possible_mm2)


def _border(component: NDArray[np.float32], box: Sequence[int]) -> NDArray[np.float64]:
    """(N, 2) column, row of where a component's probability falls below the threshold, between the pixels' centres.

    `box` is the x, y, width and height of a component of one pixel or more; beyond the mask there is nothing. The
    outline encloses an area, that of a pixel at least.
    """
    left, top, width, height = box
    cut = np.zeros((height + 2, width + 2), np.float32)
    rows, columns = (slice(max(at - 1, 0), at + side + 1) for at, side in ((top, height), (left, width)))
    seen = component[rows, columns]
    down, along = int(top == 0), int(left == 0)
    cut[down : down + seen.shape[0], along : along + seen.shape[1]] = seen
    fine = np.asarray(cv2.resize(cut, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR), np.float32)
    borders = _outer_borders(fine)
    # What lies just above the threshold vanishes between the pixels' centres: its own pixels are its outline then.
    if not any(cv2.contourArea(border) for border in borders):
        borders = _outer_borders(np.repeat(np.repeat(cut, FINER, axis=0), FINER, axis=1))
    longest = max(borders, key=cv2.contourArea)[:, 0, :].astype(np.float64)
    return (longest + 0.5) / FINER - 0.5 + (left - 1, top - 1)


def _outer_borders(probabilities: NDArray[np.float32]) -> Sequence[NDArray[np.int32]]:
    """The outer border of each component above the threshold, (N, 1, 2) column, row."""
    inside = (probabilities > MASK_THRESHOLD).view(np.uint8)
    borders, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(border, np.int32) for border in borders]


@cache
def _around_the_middle(spec: PatchSpec) -> NDArray[np.intp]:
    """Flat indices of the pixels no further than MAX_CENTRE_OFFSET_MM from a patch's middle, the nearest first."""
    along = np.arange(spec.size_px) - spec.middle_px
    distances_mm = (np.hypot(along[:, None], along) * spec.spacing_mm).ravel()
    return np.argsort(distances_mm, kind="stable")[: np.count_nonzero(distances_mm <= MAX_CENTRE_OFFSET_MM)]


def _rectangle(transform: PatchTransform) -> tuple[float, float, float, float]:
    edge = transform.spec.size_px - 0.5
    (left, top), (right, bottom) = transform.to_source_px(np.array([[-0.5, -0.5], [edge, edge]])).tolist()
    return left, top, right, bottom
