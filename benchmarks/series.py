"""What a series costs the service: `python -m benchmarks.series DATA [--sizes 32 128 600] [--out FILE]`

DATA is the folder of the development data; its 128-slice series is sent over loopback to `lungscope serve` in a
process of its own. Longer series repeat it forwards and backwards at its own spacing, shorter ones are portions of it
that cover all of it, so that every size shows the same anatomy. Another machine gives other seconds; the ratios stay.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.uid import generate_uid

from tests.service import PATIENCE_S, Service

SERIES: Final = "series/lidc-0012"
SPACING_MM: Final = 2.5  # between the slices of that series
SIZES: Final = (32, 128, 600)
STAGES: Final = ("decode", "lungs", "candidates", "detect", "judge")
SINGLE_REQUESTS: Final = 30
BOUNDARY: Final = "lungscope-benchmark"
MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """One series: its slices, seconds of computing by stage, seconds to the caller, and the process's peak memory."""

    slices: int
    stages_s: dict[str, float]
    wall_s: float
    peak_bytes: int

    @property
    def computing_s(self) -> float:
        """All stages."""
        return sum(self.stages_s.values())


def read_series(folder: Path) -> list[pydicom.Dataset]:
    """The slices, in the order of their positions."""
    slices = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    return sorted(slices, key=lambda dataset: float(dataset.ImagePositionPatient[2]))


def mirrored(length: int, wanted: int) -> Iterator[int]:
    """0 to length - 1 and back again, `wanted` numbers."""
    period = 2 * (length - 1)
    for n in range(wanted):
        at = n % period
        yield at if at < length else period - at


def rewritten(dataset: pydicom.Dataset, place: int) -> bytes:
    """The slice as a file of another series, `place` times SPACING_MM above its first."""
    x, y, _ = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y, round(place * SPACING_MM, 3)]
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def portions(slices: Sequence[pydicom.Dataset], size: int) -> Iterator[bytes]:
    """Forms with series of `size` slices that cover the scan once, or one longer than it."""
    starts = range(0, len(slices) - size + 1, size) if size < len(slices) else (0,)
    for start in starts:
        indices = range(start, start + size) if size < len(slices) else mirrored(len(slices), size)
        yield form(rewritten(slices[index], place) for place, index in enumerate(indices))


def form(files: Iterator[bytes]) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="slice.dcm"\r\n\r\n'.encode()
    return b"".join(part for data in files for part in (head, data, b"\r\n")) + f"--{BOUNDARY}--\r\n".encode()


def post(service: Service, path: str, body: bytes, content_type: str) -> tuple[dict[str, Any], float]:
    """The answer and the seconds until it was here."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10 * PATIENCE_S)
    started = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    seconds = time.perf_counter() - started
    connection.close()
    if response.status != http.HTTPStatus.OK:
        sys.exit(f"{path} answered {response.status}: {answer.get('detail')}")
    return answer, seconds


def memory(service: Service, field: str) -> int:
    """VmRSS or VmHWM of the service, in bytes (proc(5))."""
    for line in Path(f"/proc/{service.process.pid}/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise ValueError(f"no {field} in /proc: this benchmark needs Linux")


def reset_peak(service: Service) -> None:
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5", "ascii")


def cost_of(service: Service, bodies: Iterator[bytes], size: int) -> Cost:
    """The mean over several series of one size; the highest peak."""
    costs: list[Cost] = []
    for body in bodies:
        reset_peak(service)
        answer, seconds = post(service, "/v1/studies", body, f"multipart/form-data; boundary={BOUNDARY}")
        stages = {stage: answer["timing_ms"].get(stage, 0.0) / 1000 for stage in STAGES}
        costs.append(Cost(size, stages, seconds, memory(service, "VmHWM")))
    mean: Callable[[Iterator[float]], float] = statistics.fmean
    stages_s = {stage: mean(cost.stages_s[stage] for cost in costs) for stage in STAGES}
    return Cost(size, stages_s, mean(cost.wall_s for cost in costs), max(cost.peak_bytes for cost in costs))


def single_slices(service: Service, slices: Sequence[pydicom.Dataset]) -> list[float]:
    """Milliseconds of single slices without roi, spread over the scan."""
    took = []
    for n in range(SINGLE_REQUESTS):
        out = io.BytesIO()
        slices[n * len(slices) // SINGLE_REQUESTS].save_as(out)
        took.append(post(service, "/v1/predict", out.getvalue(), "application/dicom")[1] * 1000)
    return took


def report(costs: Sequence[Cost], singles_ms: Sequence[float], base_bytes: int) -> dict[str, Any]:
    per_slice = {cost.slices: cost.computing_s / cost.slices for cost in costs}
    reference = per_slice[costs[len(costs) // 2].slices]
    small, large = costs[0], costs[-1]
    growth = (large.peak_bytes - small.peak_bytes) / max(1, large.slices - small.slices) / MEGABYTE
    return {
        "command": " ".join(["python -m benchmarks.series DATA", *sys.argv[2:]]),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "single_slice_ms": {"median": round(statistics.median(singles_ms), 1), "max": round(max(singles_ms), 1)},
        "base_memory_mb": round(base_bytes / MEGABYTE, 1),
        "memory_per_slice_mb": round(growth, 3),
        "series": [
            {
                "slices": cost.slices,
                "computing_s": round(cost.computing_s, 2),
                "with_upload_s": round(cost.wall_s, 2),
                "stages_s": {stage: round(seconds, 2) for stage, seconds in cost.stages_s.items()},
                "ms_per_slice": round(per_slice[cost.slices] * 1000, 1),
                "per_slice_to_middle_size": round(per_slice[cost.slices] / reference, 3),
                "peak_memory_mb": round(cost.peak_bytes / MEGABYTE, 1),
                "peak_over_base_per_slice_mb": round((cost.peak_bytes - base_bytes) / cost.slices / MEGABYTE, 3),
            }
            for cost in costs
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the development data")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="slices of the series, ascending")
    parser.add_argument("--out", type=Path, help="write the results there too, as JSON")
    given = parser.parse_args()
    slices = read_series(given.data / SERIES)
    service = Service()
    service.wait_until_ready()
    # Warm: the first series makes what later ones reuse.
    cost_of(service, iter([next(portions(slices, given.sizes[0]))]), given.sizes[0])
    singles = single_slices(service, slices)
    base = memory(service, "VmRSS")
    costs = [cost_of(service, portions(slices, size), size) for size in given.sizes]
    service.process.terminate()
    service.end()
    text = json.dumps(report(costs, singles, base), indent=1)
    sys.stdout.write(text + "\n")
    if given.out is not None:
        given.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
