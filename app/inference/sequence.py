"""The recurrent network over the slices of a nodule: a bundle that says from all of them how suspicious it is.

The classifier judges slice after slice. This network reads them in their order, and of each only what lies inside its
outline: no surroundings, no other slice's middle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec, resample
from app.imaging.raster import fill
from app.inference.backends import Backend
from app.inference.bundle import GoldenCase, Interval, TrainingData, VerifiedManifest, read_verified
from app.inference.golden import check_golden

NAME: Final = "nodule-sequence"
OUTPUT: Final = "suspicion"
HU, INSIDE, STEP_MM = range(3)  # the channels of a stack
CHANNELS: Final = 3
MARGIN_PX: Final = 2  # of nothing around what is cut out, so that nothing is repeated beyond it
MIN_RADIUS_PX: Final = 0.5  # of an outline, however far in it is drawn

Stack = NDArray[np.float32]
Flags = NDArray[np.bool_]
Points = NDArray[np.float64]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StackContract(_Frozen):
    """What goes in: float32 (N, slices, size_px, size_px, 3), the slices of a nodule in their order.

    Channel 0 holds HU inside the outline and 0 elsewhere, channel 1 is 1 inside and 0 elsewhere, channel 2 is
    everywhere the distance in mm from the slice before, 0 on the first. A slice is centred on the middle of its own
    outline. Where there are fewer slices the rest is 0; where there are more they are evenly chosen.

    `inset_px` of the source image is how far outlines that run through the first pixels outside, as the classifier's
    do, lie outside those that the network has learned from.
    """

    name: Literal["slices"] = "slices"
    slices: Annotated[int, Field(ge=2, le=64)]
    size_px: Annotated[int, Field(ge=8, le=128)]
    spacing_mm: Annotated[float, Field(gt=0.1, le=3)]
    clip_hu: tuple[float, float]
    inset_px: Annotated[float, Field(ge=0, le=2)]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one stack."""
        return self.slices, self.size_px, self.size_px, CHANNELS

    @property
    def patch_spec(self) -> PatchSpec:
        """The patch that a slice is resampled to."""
        return PatchSpec(self.size_px, self.spacing_mm)

    @property
    def field_mm(self) -> float:
        """How large a nodule may be to be seen whole."""
        return self.size_px * self.spacing_mm


class SequencePerformance(_Frozen):
    """Measured figures, the command that measured them, and how."""

    command: str
    protocol: str
    nodules: Annotated[int, Field(ge=0)]
    patients: Annotated[int, Field(ge=0)]
    figures: Mapping[str, Interval]


class SequenceManifest(VerifiedManifest):
    """`manifest.json`. The output is a calibrated probability that readers' median suspicion is above 3."""

    input: StackContract
    outputs: tuple[Literal["suspicion"]]
    training_data: tuple[TrainingData, ...]
    performance: SequencePerformance
    golden: GoldenCase

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.golden.hu.shape != self.input.shape:
            raise ValueError(f"the golden input is {self.golden.hu.shape}, the network's {self.input.shape}")
        if set(self.golden.outputs) != {OUTPUT}:
            raise ValueError(f"the golden case must hold {OUTPUT} and nothing else")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class MaskedSlice:
    """A slice of a nodule: `hu` float32 (rows, columns), pixels of `spacing_mm` (down, across), at `height_mm` along
    the slice normal; `inside` is where the nodule is. Raises ValueError where it is nowhere."""

    hu: FloatImage
    inside: Flags
    spacing_mm: tuple[float, float]
    height_mm: float

    def __post_init__(self) -> None:
        if self.hu.shape != self.inside.shape or not self.inside.any():
            raise ValueError(f"a nodule of {int(self.inside.sum())} pixels on a slice of {self.hu.shape}")

    @classmethod
    def outlined(
        cls, hu: FloatImage, points_px: Points, spacing_mm: tuple[float, float], height_mm: float, inset_px: float
    ) -> Self:
        """What lies inside an outline of (N, 2) (column, row), drawn in by `inset_px`."""
        inside = fill(drawn_in(points_px, inset_px), hu.shape)
        return cls(hu, inside if inside.any() else fill(points_px, hu.shape), spacing_mm, height_mm)

    @property
    def _box(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the nodule's bounding box, from the first to one after the last."""
        rows, columns = np.nonzero(self.inside)
        return (int(rows.min()), int(rows.max()) + 1), (int(columns.min()), int(columns.max()) + 1)

    @property
    def area_mm2(self) -> float:
        """Of the nodule on this slice."""
        return float(np.count_nonzero(self.inside)) * self.spacing_mm[0] * self.spacing_mm[1]

    @property
    def extent_mm(self) -> float:
        """The longer side of the nodule's bounding box."""
        (top, bottom), (left, right) = self._box
        return max((bottom - top) * self.spacing_mm[0], (right - left) * self.spacing_mm[1])

    def patch(self, spec: PatchSpec) -> tuple[FloatImage, FloatImage]:
        """HU inside and 0 elsewhere, and 1 inside and 0 elsewhere, float32 (size, size) each, at the spacing of `spec`
        and around the middle of the nodule's bounding box. What lies outside has no part in any pixel."""
        (top, bottom), (left, right) = self._box
        inside = np.pad(self.inside[top:bottom, left:right].astype(np.float32), MARGIN_PX)
        hu = np.pad(self.hu[top:bottom, left:right], MARGIN_PX) * inside
        middle = ((inside.shape[1] - 1) / 2, (inside.shape[0] - 1) / 2)
        share, total = (resample(image, self.spacing_mm, middle, spec)[0] for image in (inside, hu))
        # Small ones may fill half of no pixel: the fullest are theirs.
        seen = share >= min(0.5, float(share.max()))
        return np.where(seen, total / np.maximum(share, np.float32(1e-6)), 0), seen.astype(np.float32)


def drawn_in(points_px: Points, inset_px: float) -> Points:
    """An outline of (N, 2) (column, row) as much smaller around its middle as a circle of its area is whose radius is
    `inset_px` less."""
    column, row = points_px.T
    area_px2 = abs(float(np.dot(column, np.roll(row, 1)) - np.dot(row, np.roll(column, 1)))) / 2
    radius_px = math.sqrt(area_px2 / math.pi)
    middle = (points_px.min(axis=0) + points_px.max(axis=0)) / 2
    left_px = max(radius_px - inset_px, min(radius_px, MIN_RADIUS_PX))
    return np.asarray(middle + (points_px - middle) * (left_px / radius_px if radius_px else 1.0), np.float64)


def stack_of(slices: Sequence[MaskedSlice], contract: StackContract) -> Stack:
    """The slices of one nodule, whatever their order, as the network takes them: float32 `contract.shape`."""
    ordered = sorted(slices, key=lambda each: each.height_mm)
    chosen = [ordered[n] for n in evenly(len(ordered), contract.slices)]
    hu, inside = zip(*(each.patch(contract.patch_spec) for each in chosen), strict=True)
    return arranged(np.stack(hu), np.stack(inside), np.array([each.height_mm for each in chosen]), contract)


def arranged(
    hu: NDArray[np.float32], inside: NDArray[np.float32], heights_mm: NDArray[np.float64], contract: StackContract
) -> Stack:
    """The patches (slices, size, size) of one nodule at (slices,) heights, in the order in which they come, as the
    network takes them; evenly chosen where they are too many."""
    chosen = evenly(len(heights_mm), contract.slices)
    stack, heights = np.zeros(contract.shape, np.float32), heights_mm[chosen]
    there = slice(0, len(chosen))
    stack[there, ..., HU], stack[there, ..., INSIDE] = hu[chosen], inside[chosen]
    stack[there, ..., STEP_MM] = np.abs(np.diff(heights, prepend=heights[:1]))[:, None, None]
    return stack


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to `count` - 1, the first and the last among them."""
    return [round(at) for at in np.linspace(0, count - 1, min(count, most)).tolist()]


@dataclass(frozen=True, slots=True)
class NoduleSequence:
    """A verified network on a running backend."""

    path: Path
    manifest: SequenceManifest
    digest: str
    backend: Backend

    @classmethod
    def verified(cls, path: Path, backend: Backend) -> NoduleSequence:
        """One whose files match its manifest, not yet loaded; raises BundleError naming what differs."""
        manifest, digest = read_verified(path, SequenceManifest)
        return cls(path, manifest, digest, backend)

    def load(self) -> None:
        """Load it and run its golden case; raises BundleError when that differs by more than its tolerance."""
        self.backend.load(self.path)
        golden = self.manifest.golden
        check_golden(golden, self.backend.run(golden.batch()), self.backend.name, self.path)

    def probability(self, slices: Sequence[MaskedSlice]) -> float:
        """How probably the nodule on these slices is suspicious, calibrated."""
        return float(self.backend.run(stack_of(slices, self.manifest.input)[None])[OUTPUT].reshape(-1)[0])
