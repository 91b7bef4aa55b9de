"""Whole series of the development data as volumes: every slice in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.imaging.read import read_slice
from tests.imaging.series_files import built


class TestRealSeries:
    @pytest.mark.parametrize(
        ("folder", "shape", "spacing_mm", "ends_mm", "sum_hu"),
        [
            ("lidc-0012", (128, 512, 512), (2.5, 0.742188, 0.742188), (-355.25, -37.75), -26_452_063_885),
            ("cptac-c3n-00247", (99, 512, 512), (3.0, 0.564453125, 0.564453125), (-288.0, 6.0), -9_205_897_616),
        ],
    )
    def test_every_slice_is_in_its_place(
        self,
        shared_data: Path,
        folder: str,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        ends_mm: tuple[float, float],
        sum_hu: int,
    ) -> None:
        files = {data_uid(data): data for data in map(Path.read_bytes, (shared_data / "series" / folder).glob("*.dcm"))}
        volume = built(list(files.values()))
        assert (volume.hu.shape, volume.spacing_mm, volume.notes) == (shape, spacing_mm, ())
        assert (volume.positions_mm[0][2], volume.positions_mm[-1][2]) == ends_mm
        assert int(volume.hu.sum(dtype=np.int64)) == sum_hu
        for index, source in enumerate(volume.sources):
            ct_slice = read_slice(files[str(source.sop_instance_uid)])
            assert np.array_equal(volume.hu[index], np.rint(ct_slice.hu))
            assert volume.positions_mm[index] == ct_slice.position_mm


def data_uid(data: bytes) -> str:
    return str(read_slice(data).source.sop_instance_uid)
