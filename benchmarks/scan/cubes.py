"""The nodules of `lidc-cubes`: 51 mm of their surroundings at 1 mm, with one reader's outline in space."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.nodules import Nodule

FOLDER: Final = "lidc-cubes"
SIDE_VX: Final = 51
MARGIN_VX: Final = 4  # what the blend takes from around an outline
CUBE_MM: Final = 1.0  # from voxel to voxel, each way


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """`hu` int16 and `mask` bool (slice, row, column); `nodule` holds the readers' ratings."""

    nodule: Nodule
    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]

    @property
    def diameter_mm(self) -> float:
        """Of the ball with the outline's volume."""
        return math.cbrt(6 * int(self.mask.sum()) * CUBE_MM**3 / math.pi)

    @property
    def is_whole(self) -> bool:
        """Whether the outline keeps MARGIN_VX from the cube's sides: beyond them the last voxels are repeated."""
        at = np.argwhere(self.mask)
        return bool(at.min() >= MARGIN_VX and at.max() < SIDE_VX - MARGIN_VX)


def read_cubes(data: Path, nodules: Sequence[Nodule], fold: int) -> tuple[Cube, ...]:
    """The cubes of one fold, by nodule id; `nodules` are those of `lidc-nodules`."""
    by_id: Mapping[int, Nodule] = {n.nodule_id: n for n in nodules}
    with (data / FOLDER / "cubes.csv").open(encoding="utf-8") as stream:
        chosen = [row for row in csv.DictReader(stream) if int(row["fold"]) == fold]
    with np.load(data / FOLDER / "cubes.npz") as stored:
        hu, packed = stored["hu"], stored["mask"]
    cubes = []
    for row in sorted(chosen, key=lambda r: int(r["nodule_id"])):
        index = int(row["index"])
        bits = np.unpackbits(packed[index], count=SIDE_VX**3).reshape((SIDE_VX,) * 3)
        cubes.append(Cube(by_id[int(row["nodule_id"])], hu[index], bits.astype(np.bool_)))
    return tuple(cubes)
