"""What a series takes of memory while its files become a volume."""

from __future__ import annotations

import mmap
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging import pixel_stack
from app.imaging.chunked import ChunkedFile
from app.imaging.ct import CTSlice
from app.imaging.memory import mapped_zeros
from app.imaging.pixel_stack import SeriesLimits
from app.imaging.series import SeriesBuilder
from phantoms.slices import derived_uid, dicom, enhanced_dicom, functional_group
from tests.imaging.series_files import AXIAL, TO_HU, built, enhanced_file, plane_position, slice_file, zipped


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each array that a series maps."""
    sizes: list[int] = []

    def counted(shape: tuple[int, ...], dtype: type[np.int16]) -> NDArray[np.int16]:
        array = mapped_zeros(shape, dtype)
        sizes.append(array.nbytes)
        return array

    monkeypatch.setattr(pixel_stack, "mapped_zeros", counted)
    return sizes


def peak_bytes(files: list[bytes], slices: int, mapped: list[int]) -> int:
    """Most memory at once while the files become a volume of `slices`, by the allocator's own count and what is mapped.

    That counts what is reserved, and room is reserved for as many slices as the limits allow.
    """
    mapped.clear()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    builder = SeriesBuilder(SeriesLimits(max_slices=slices))
    for data in files:
        builder.add(data)
    assert len(builder.build()) == slices
    return tracemalloc.get_traced_memory()[1] - before + sum(mapped)


def test_pixels_are_held_once_at_the_peak_too(mapped: list[int]) -> None:
    size_px, few, many = 512, 16, 48
    hu = np.zeros((size_px, size_px), np.int16)
    files = [
        dicom(hu, spacing_mm=0.7, SOPInstanceUID=derived_uid(f"slice {z}"), ImagePositionPatient=[0, 0, z])
        for z in reversed(range(many))
    ]
    tracemalloc.start()
    try:
        peak_bytes(files[:few], few, mapped)
        per_slice = (peak_bytes(files, many, mapped) - peak_bytes(files[:few], few, mapped)) / (many - few)
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


def test_a_multi_frame_file_is_not_held_twice_either(mapped: list[int]) -> None:
    """Beyond its own bytes, which the caller holds."""
    size_px, frames = 512, 48
    data = multi_frame(frames, size_px)
    tracemalloc.start()
    try:
        working = peak_bytes([enhanced_file([0, 1, 2])], 3, mapped)
        assert peak_bytes([data], frames, mapped) - working < 1.2 * 2 * size_px**2 * frames
    finally:
        tracemalloc.stop()


def multi_frame(frames: int, size_px: int) -> bytes:
    """An uncompressed multi-frame file, its frames 1 mm apart."""
    hu = np.zeros((size_px, size_px), np.int16)
    measures = functional_group("PixelMeasuresSequence", PixelSpacing=[0.7, 0.7])
    places = [plane_position(1.0 * z) for z in range(frames)]
    return enhanced_dicom([hu] * frames, shared=(measures, AXIAL, TO_HU), per_frame=places)


def test_a_multi_frame_file_in_blocks_shrinks_while_its_frames_are_taken() -> None:
    block_bytes, frames = 4096, 20
    file = ChunkedFile([multi_frame(frames, 64)], block_bytes)
    held: list[int] = []

    class Watched(SeriesBuilder):
        def _take(self, ct_slice: CTSlice) -> None:
            held.append(file.held_bytes)
            super()._take(ct_slice)

    builder = Watched()
    builder.add(file)
    frame_bytes = 2 * 64 * 64
    assert all(now <= held[0] - n * frame_bytes + 2 * block_bytes for n, now in enumerate(held))
    assert (len(builder.build()), len(held)) == (frames, frames)
    assert file.held_bytes <= block_bytes


PEAK = """
import sys
from pathlib import Path
from app.api.uploads.file_buffer import FileBuffer
from app.imaging.series import SeriesBuilder

def memory(field):
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split(field + ":")[1].split()[0]) * 1024

def volume_of(path):
    received, builder = FileBuffer(), SeriesBuilder()
    with open(path, "rb") as stream:
        while piece := stream.read(65536):
            received.append(piece)
    for data in received.files():
        builder.add(data)
    return builder.build()

volume_of(sys.argv[1])  # so that what is imported late, and kept, is no part of the difference
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
volume = volume_of(sys.argv[2])
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux's /proc")
@pytest.mark.parametrize("packed", [False, True], ids=["as a file", "in a zip"])
def test_a_multi_frame_upload_and_its_volume_are_not_held_beside_each_other(tmp_path: Path, *, packed: bool) -> None:
    """In a process of its own: half of a second copy is the most that may lie beside the volume."""
    frames, size_px = 80, 512
    files = {"few": multi_frame(40, size_px), "many": multi_frame(frames, size_px)}
    for name, data in files.items():
        sent = zipped({"file": data}, zipfile.ZIP_STORED) if packed else data
        (tmp_path / name).write_bytes(sent)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "few"), str(tmp_path / "many")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert frames * size_px**2 * 2 <= int(run.stdout) < 1.5 * frames * size_px**2 * 2
