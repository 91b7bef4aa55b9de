"""What decoding in a cell costs: `python -m benchmarks.cell [--rounds N] [--out JSON]` (make cell-cost)

The same bytes are decoded in this process and in a cell, by turns in one run, and a slice with a roi is judged by the
shipped models both ways. Times are medians in ms, a ratio is the median of the ratios of neighbouring turns. Where
other programs want the cores, the clock shows how long a process waits to be woken; CPU time shows the work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from app.cell.cell import CPU_CLOCK
from app.cell.cells import CellLimits, Cells
from app.imaging.chunked import ChunkedFile
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.options import ReadOptions
from app.imaging.read import quiet_decoders, read_slice, spare_threads
from app.inference.registry import Backends, BundleNames, ModelRegistry
from app.judgement.judge import Judge
from app.judgement.parameters import Parameters
from app.telemetry import Metrics
from benchmarks.fuzz.archives import DEFLATED, STORED, Archive, Member
from benchmarks.serving import machine
from benchmarks.serving.service import MODELS
from phantoms.slices import (
    ENCODERS,
    EXAMPLE_NODULE,
    WINDOW_8_BIT,
    WINDOW_16_BIT,
    PixelCoding,
    chest,
    dicom,
    picture,
    windowed,
)

SIZE_PX: Final = 512
SPACING_MM: Final = 0.7
ROI_PX: Final = EXAMPLE_NODULE.centre_px
ARCHIVED: Final = 20  # slices
NAMES: Final = BundleNames("nodule-classifier", "nodule-detector", "nodule-suspicion", "chest-view")
STATED: Final = ReadOptions(pixel_spacing_mm=(SPACING_MM, SPACING_MM))
MEGABYTE: Final = 1 << 20


def slices() -> dict[str, bytes]:
    """A phantom of 512 x 512 pixels in every encoding, uncompressed first."""
    hu = chest([EXAMPLE_NODULE], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=1)
    plain = "uncompressed DICOM"
    made = {plain: dicom(hu, spacing_mm=SPACING_MM)}
    for syntax in ENCODERS:
        made[f"DICOM, {syntax.name}"] = dicom(hu, PixelCoding(transfer_syntax=syntax), spacing_mm=SPACING_MM)
    eight, sixteen = windowed(hu, WINDOW_8_BIT, 8), windowed(hu, WINDOW_16_BIT, 16)
    made |= {"PNG, 8 bits": picture(eight), "PNG, 16 bits": picture(sixteen)}
    made |= {"JPEG": picture(eight, "JPEG", quality=95), "TIFF": picture(sixteen, "TIFF")}
    made["TIFF, LZW"] = picture(eight, "TIFF", compression="tiff_lzw")
    return made


def archives(file: bytes) -> dict[str, bytes]:
    """ARCHIVED uncompressed slices in a zip, stored and deflated."""
    made = {}
    for name, method in {"stored": STORED, "deflated": DEFLATED}.items():
        members = [Member(b"%d" % n, file, method) for n in range(ARCHIVED)]
        made[f"zip of {ARCHIVED} slices, {name}"] = Archive(members).written()
    return made


def compared(work: Callable[[Decoder], object], cells: Cells, rounds: int) -> dict[str, float]:
    """Milliseconds in this process and in a cell, by turns: of CPU, of both processes, and on the clock."""
    pairs = [[_ms(work, decoder, cells) for decoder in (IN_PROCESS, cells)] for _ in range(rounds)]
    found: dict[str, float] = {}
    for kind, name in enumerate(("CPU", "clock")):
        inside, outside = (statistics.median(turn[side][kind] for turn in pairs) for side in (0, 1))
        ratio = statistics.median(turn[1][kind] / turn[0][kind] for turn in pairs)
        found |= {f"{name}, in process": round(inside, 2), f"{name}, in a cell": round(outside, 2)}
        found[f"{name}, ratio"] = round(ratio, 3)
    return found


def _ms(work: Callable[[Decoder], object], decoder: Decoder, cells: Cells) -> tuple[float, float]:
    """Milliseconds of CPU and on the clock. What was decoded before has left its cell idle."""
    started, cpu_s = time.perf_counter(), _cpu_s(cells)
    work(decoder)
    return (_cpu_s(cells) - cpu_s) * 1000, (time.perf_counter() - started) * 1000


def _cpu_s(cells: Cells) -> float:
    return time.process_time() + sum(time.clock_gettime(~cell.pid << 3 | CPU_CLOCK) for cell in cells._idle)


def _read(data: bytes, decoder: Decoder) -> object:
    return read_slice(data, STATED, decoder)


def _unpacked(data: bytes, decoder: Decoder) -> object:
    return [len(file) for file in decoder.archive(ChunkedFile([data])) if not isinstance(file, Exception)]


def _judged(data: bytes, judges: dict[Decoder, Judge], decoder: Decoder) -> object:
    return judges[decoder].slice(data, Parameters(options=STATED, roi_px=ROI_PX))


def forked(cells: Cells, rounds: int) -> float:
    """Milliseconds to have a new cell, and to end it."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        cells._end(cells._new())
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 2)


def memory() -> dict[str, float]:
    """Megabytes of the template and of a cell that has worked: resident, and own (proc_pid_smaps)."""
    found: dict[str, float] = {}
    for name, pid in zip(("template", "cell"), _descendants(os.getpid()), strict=False):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
        kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
        own = kilobytes["Private_Dirty"] + kilobytes["Private_Clean"]
        found |= {f"{name}, resident": round(kilobytes["Rss"] / 1024, 1), f"{name}, own": round(own / 1024, 1)}
        found[f"{name}, proportional"] = round(kilobytes["Pss"] / 1024, 1)
    return found


def _descendants(pid: int) -> list[int]:
    """The first child of each in turn."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return [children[0], *_descendants(children[0])] if children else []


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    quiet_decoders()
    spare_threads()
    made = slices()
    registry = ModelRegistry.verified(MODELS, NAMES, Backends.create("openvino", 1))
    registry.load()
    with Cells(CellLimits()) as cells:
        cells.start()
        judges: dict[Decoder, Judge] = {
            each: Judge(registry, Metrics(), 100, decoder=each) for each in (IN_PROCESS, cells)
        }
        decoded = {name: compared(partial(_read, data), cells, given.rounds) for name, data in made.items()}
        for name, data in archives(next(iter(made.values()))).items():
            decoded[name] = compared(partial(_unpacked, data), cells, max(1, given.rounds // 10))
        judged = {name: compared(partial(_judged, data, judges), cells, given.rounds) for name, data in made.items()}
        result = {
            "command": f"python -m benchmarks.cell --rounds {given.rounds}",
            "machine": machine.facts(),
            "reading one file": decoded,
            "judging one roi, from bytes to prediction": judged,
            "a new cell, ms": forked(cells, given.rounds),
            "memory, MB": memory(),
        }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
