"""A volume's geometry, and that one whose parts do not fit together cannot be built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.imaging.ct import Orientation, SliceSource
from app.imaging.volume import CTVolume

AXIAL = Orientation((1, 0, 0), (0, 1, 0))


def volume(**changes: Any) -> CTVolume:
    """Four slices of 40 rows and 32 columns, 2 mm apart."""
    parts: dict[str, Any] = {
        "hu": np.arange(4 * 40 * 32, dtype=np.int16).reshape(4, 40, 32),
        "spacing_mm": (2.0, 0.8, 0.5),
        "orientation": AXIAL,
        "positions_mm": tuple((-10.0, -20.0, -7.0 + 2 * index) for index in range(4)),
        "sources": tuple(SliceSource("dicom", 40, 32, sop_instance_uid=f"1.{index}") for index in range(4)),
    }
    return CTVolume(**(parts | changes))


def test_a_slice_has_the_volume_s_pixels_place_and_source() -> None:
    whole = volume()
    assert len(whole) == 4
    for index in range(4):
        ct_slice = whole.slice_at(index)
        assert np.array_equal(ct_slice.hu, whole.hu[index])
        assert (ct_slice.spacing_mm, ct_slice.position_mm) == ((0.8, 0.5), whole.positions_mm[index])
        assert ct_slice.source.sop_instance_uid == f"1.{index}"
        assert whole.to_patient_mm(index, (3, 5)) == ct_slice.to_patient_mm((3, 5))
    with pytest.raises(IndexError):
        whole.slice_at(4)


def test_points_are_columns_and_rows() -> None:
    assert volume().to_patient_mm(1, (4, 10)) == (-10 + 4 * 0.5, -20 + 10 * 0.8, -5)


def test_heights_are_along_the_normal() -> None:
    assert volume().heights_mm.tolist() == [-7, -5, -3, -1]
    downwards = Orientation((1, 0, 0), (0, -1, 0))
    turned = volume(orientation=downwards, positions_mm=volume().positions_mm[::-1])
    assert turned.heights_mm.tolist() == [1, 3, 5, 7]


def test_pixels_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        volume().hu[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hu": np.zeros((4, 40, 32), np.float32)}, "int16"),
        ({"hu": np.zeros((40, 32), np.int16)}, "2 axes"),
        ({"hu": np.zeros((3, 40, 32), np.int16)}, "3 slices, 4 positions"),
        ({"hu": np.zeros((4, 32, 40), np.int16)}, "another size"),
        ({"positions_mm": volume().positions_mm[:3]}, "3 positions"),
        ({"positions_mm": volume().positions_mm[::-1]}, "order"),
        ({"positions_mm": volume().positions_mm[:1] * 4}, "order"),
        ({"sources": volume().sources[:3]}, "3 sources"),
        ({"sources": (*volume().sources[:3], replace(volume().sources[3], rows=41))}, "another size"),
        ({"spacing_mm": (0.0, 0.8, 0.5)}, "spacing"),
        ({"spacing_mm": (2.0, 0.8, 5.0)}, "spacing"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        volume(**changes)


def test_one_slice_is_no_volume() -> None:
    with pytest.raises(ValueError, match="1 slices"):
        volume(hu=np.zeros((1, 40, 32), np.int16), positions_mm=volume().positions_mm[:1], sources=volume().sources[:1])
