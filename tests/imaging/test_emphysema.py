"""The share of lungs below -950 HU, where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.emphysema import share_below_950
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs
from phantoms.lung_volumes import volume_of

SIDE = 40


def lungs(slices: int, shown: range) -> VolumeLungs:
    """The left half of the slices `shown`."""
    masks = np.zeros((slices, SIDE, SIDE), np.bool_)
    masks[shown.start : shown.stop, :, : SIDE // 2] = True
    areas = masks.sum(axis=(1, 2)).astype(np.float64)
    packed = np.packbits(masks.reshape(slices, -1), axis=1)
    return VolumeLungs(packed, (SIDE, SIDE), (SIDE, SIDE), areas, np.zeros(slices), 1000.0)


def volume(slices: int, slice_mm: float) -> CTVolume:
    """Lung of -850 HU, of which the upper quarter is emphysema, and air beside it, which does not count."""
    hu = np.full((slices, SIDE, SIDE), -1000, np.int16)
    hu[:, :, : SIDE // 2] = -850
    hu[:, : SIDE // 4, : SIDE // 2] = -951
    hu[:, SIDE // 4, : SIDE // 2] = -950  # not below
    return volume_of(hu, (slice_mm, 1.0, 1.0))


@pytest.mark.parametrize(("slices", "slice_mm"), [(6, 5.0), (30, 0.625)])
def test_share_of_the_lungs_alone(slices: int, slice_mm: float) -> None:
    assert share_below_950(volume(slices, slice_mm), lungs(slices, range(1, slices - 1))) == pytest.approx(0.25)
    assert share_below_950(volume(slices, slice_mm), lungs(slices, range(0))) is None
