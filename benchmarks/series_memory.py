"""Peak memory and computing time of reading a series: `python benchmarks/series_memory.py [--slices N ...]`

Generated slices of 512 x 512 pixels in 16 bits are read in a process of its own
for each number of slices and each way of sending: file by file, or as one zip that is held in memory, stored, so that
it is as large as it can be. The cost of a slice is the slope of the peak of resident memory over the number of slices.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from app.errors import InputError
from app.imaging.archive import archive_files
from app.imaging.chunked import ChunkedFile, FileBytes
from app.imaging.read import quiet_decoders
from app.imaging.series import SeriesBuilder
from phantoms.slices import chest, derived_uid, dicom

MAX_MB_PER_SLICE: Final = 0.6
MB: Final = 1_000_000
PIECE_BYTES: Final = 64 * 1024  # what a server gets from a socket
SPACING_MM: Final = 0.7
SLICES: Final = (32, 128, 320, 600)


def write_series(folder: Path, slices: int) -> None:
    """Slices 1.25 mm apart, highest first, each with other pixels than its neighbours."""
    hu = chest(size_px=512, spacing_mm=SPACING_MM)
    for index in range(slices):
        uid, position = derived_uid(f"slice {index}"), [-179.0, -179.0, -1.25 * index]
        moved = np.roll(hu, index, axis=1)
        data = dicom(moved, spacing_mm=SPACING_MM, SOPInstanceUID=uid, ImagePositionPatient=position)
        (folder / f"{index:04d}.dcm").write_bytes(data)


def write_zip(folder: Path, path: Path, slices: int) -> None:
    """The first slices of the folder in one archive, stored."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.glob("*.dcm"))[:slices]:
            archive.write(file, file.name)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece


def files_of(path: Path, slices: int) -> Iterator[FileBytes | InputError]:
    """The files of a folder one by one, or of a zip that is in memory as a whole first."""
    if path.is_dir():
        yield from (file.read_bytes() for file in sorted(path.glob("*.dcm"))[:slices])
    else:
        yield from archive_files(ChunkedFile(pieces(path)))


def read_once(path: Path, slices: int) -> dict[str, float]:
    """Peak of resident memory in MB and milliseconds of computing per slice."""
    quiet_decoders()
    builder, seconds = SeriesBuilder(), 0.0
    for data in files_of(path, slices):
        start = time.thread_time()
        builder.add(data)
        seconds += time.thread_time() - start
    start = time.thread_time()
    volume = builder.build()
    seconds += time.thread_time() - start
    return {"slices": len(volume), "peak_mb": peak_mb(), "cpu_ms_per_slice": 1000 * seconds / len(volume)}


def peak_mb() -> float:
    """Peak of resident memory since this program began; getrusage would count the parent's too (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MB


def in_own_process(path: Path, slices: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", str(path), "--slices", str(slices)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(run.stdout)
    return result


def in_a_thread(path: Path, slices: int) -> dict[str, float]:
    """As a server reads: in a worker thread, whose memory the allocator keeps apart."""
    results: list[dict[str, float]] = []
    worker = threading.Thread(target=lambda: results.append(read_once(path, slices)))
    worker.start()
    worker.join()
    return results[0]


def report(way: str, runs: list[dict[str, float]]) -> bool:
    """Print one table; whether the slope is within MAX_MB_PER_SLICE."""
    say(f"{way}:\n{'slices':>8} {'peak MB':>9} {'CPU ms':>9}")
    for run in runs:
        say(f"{run['slices']:8.0f} {run['peak_mb']:9.1f} {run['cpu_ms_per_slice']:9.2f}")
    slope, base = np.polyfit([run["slices"] for run in runs], [run["peak_mb"] for run in runs], 1)
    say(f"{slope:.3f} MB a slice above {base:.0f} MB (at most {MAX_MB_PER_SLICE})")
    return bool(slope <= MAX_MB_PER_SLICE)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", nargs="+", type=int, default=SLICES)
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        say(json.dumps(in_a_thread(given.only, given.slices[0])))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name), Path(name) / "series.zip"
        write_series(folder, max(given.slices))
        good = report("file by file", [in_own_process(folder, slices) for slices in given.slices])
        runs = []
        for slices in given.slices:
            write_zip(folder, archive, slices)
            runs.append(in_own_process(archive, slices))
        good &= report("one zip", runs)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
