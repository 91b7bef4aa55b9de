"""What a series takes of memory while its files become a volume."""

from __future__ import annotations

import mmap
import tracemalloc
from pathlib import Path

import numpy as np

from app.imaging.series import SeriesBuilder, SeriesLimits
from tests.imaging.series_files import AXIAL, TO_HU, built, enhanced_file, plane_position, slice_file
from tests.phantoms import derived_uid, dicom, enhanced_dicom, functional_group


def peak_bytes(files: list[bytes], slices: int) -> int:
    """Most memory at once while the files become a volume of `slices`, by the allocator's own count.

    That counts what is reserved, and room is reserved for as many slices as the limits allow.
    """
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    builder = SeriesBuilder(SeriesLimits(max_slices=slices))
    for data in files:
        builder.add(data)
    assert len(builder.build()) == slices
    return tracemalloc.get_traced_memory()[1] - before


def test_pixels_are_held_once_at_the_peak_too() -> None:
    size_px, few, many = 512, 16, 48
    hu = np.zeros((size_px, size_px), np.int16)
    files = [
        dicom(hu, spacing_mm=0.7, SOPInstanceUID=derived_uid(f"slice {z}"), ImagePositionPatient=[0, 0, z])
        for z in reversed(range(many))
    ]
    tracemalloc.start()
    try:
        peak_bytes(files[:few], few)
        per_slice = (peak_bytes(files, many) - peak_bytes(files[:few], few)) / (many - few)
    finally:
        tracemalloc.stop()
    assert hu.nbytes <= per_slice < 600_000


def resident_bytes() -> int:
    """Of this process (proc(5)); 0 where there is no such file."""
    path = Path("/proc/self/statm")
    return int(path.read_text("ascii").split()[1]) * mmap.PAGESIZE if path.exists() else 0


def test_memory_is_taken_for_the_slices_that_came() -> None:
    """Not for all that the limits allow."""
    before = resident_bytes()
    volume = built([slice_file(z) for z in range(3)])
    assert resident_bytes() - before < SeriesLimits().max_pixel_bytes / 8
    assert len(volume) == 3


def test_a_multi_frame_file_is_not_held_twice_either() -> None:
    """Beyond its own bytes, which the caller holds."""
    size_px, frames = 512, 48
    hu = np.zeros((size_px, size_px), np.int16)
    places = [plane_position(1.0 * z) for z in range(frames)]
    measures = functional_group("PixelMeasuresSequence", PixelSpacing=[0.7, 0.7])
    data = enhanced_dicom([hu] * frames, shared=(measures, AXIAL, TO_HU), per_frame=places)
    tracemalloc.start()
    try:
        working = peak_bytes([enhanced_file([0, 1, 2])], 3)
        assert peak_bytes([data], frames) - working < 1.2 * hu.nbytes * frames
    finally:
        tracemalloc.stop()
