"""What a series costs the service: `python -m benchmarks.series DATA [--sizes 32 128 600] [--out FILE]`

DATA is the folder of the development data; its 128-slice series is sent over loopback to `lungscope serve` in a
process of its own for each size. Longer series repeat it forwards and backwards at its own spacing, shorter ones are
portions of it that cover all of it, so that every size shows the same anatomy. Another machine gives other seconds; the
ratios, of processor time, stay.

Each size is sent twice: as single files, and as the frames of one Enhanced CT file.

Memory is resident memory in units of 1,000,000 bytes. `ready_mb` is that of a process that has judged single slices but
no series, the base of its first series; `settled_mb` is what it keeps after that one, the base of those that follow.
"""

from __future__ import annotations

import argparse
import copy
import http.client
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.uid import EnhancedCTImageStorage, generate_uid

from benchmarks.serving.service import PATIENCE_S, Service

COMMAND: Final = "python -m benchmarks.series DATA --out docs/results/series.json"
SERIES: Final = "series/lidc-0012"
SPACING_MM: Final = 2.5  # between the slices of that series
SIZES: Final = (32, 128, 600)
STAGES: Final = ("decode", "lungs", "candidates", "detect", "look", "judge")
SINGLE_REQUESTS: Final = 30
ROUNDS: Final = 3  # the median of these
BOUNDARY: Final = "lungscope-benchmark"
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """One series: seconds of computing by stage, to the caller and of processor time; the peak of memory in bytes."""

    stages_s: dict[str, float]
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """All runs of one size but the first, whose peak alone is kept; resident memory before and after that first one."""

    slices: int
    runs: tuple[Run, ...]
    first_peak_bytes: int
    ready_bytes: int
    settled_bytes: int
    singles_ms: tuple[float, ...]

    @property
    def stages_s(self) -> dict[str, float]:
        """Median by stage."""
        return {stage: statistics.median(run.stages_s[stage] for run in self.runs) for stage in STAGES}

    @property
    def computing_s(self) -> float:
        """All stages."""
        return statistics.median(sum(run.stages_s.values()) for run in self.runs)

    @property
    def wall_s(self) -> float:
        """To the caller."""
        return statistics.median(run.wall_s for run in self.runs)

    @property
    def cpu_s(self) -> float:
        """Of the process, upload and answer included."""
        return statistics.median(run.cpu_s for run in self.runs)

    @property
    def later_peak_bytes(self) -> int:
        """The highest after the first."""
        return max(run.peak_bytes for run in self.runs)

    def over_per_slice_mb(self, peak_bytes: int, base_bytes: int) -> float:
        """What a peak lies above a base, by slice."""
        return round((peak_bytes - base_bytes) / self.slices / MB, 3)


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


Portion = Sequence[tuple[pydicom.Dataset, int]]


def portions(slices: Sequence[pydicom.Dataset], size: int) -> Iterator[Portion]:
    """Series of `size` slices, each with its place, that cover the scan once, or one longer than it."""
    starts = range(0, len(slices) - size + 1, size) if size < len(slices) else (0,)
    for start in starts:
        indices = range(start, start + size) if size < len(slices) else mirrored(len(slices), size)
        yield [(slices[index], place) for place, index in enumerate(indices)]


def single_files(portion: Portion) -> bytes:
    """A form with one file for each slice."""
    return form(rewritten(*each) for each in portion)


def multi_frame(portion: Portion) -> bytes:
    """A form with one Enhanced CT file, uncompressed, of a frame for each slice."""
    whole = copy.deepcopy(portion[0][0])
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    whole.NumberOfFrames = len(portion)
    whole.PerFrameFunctionalGroupsSequence = [frame_groups(*each) for each in portion]
    whole.PixelData = b"".join(dataset.PixelData for dataset, _ in portion)
    out = io.BytesIO()
    whole.save_as(out)
    return form([out.getvalue()])


def frame_groups(dataset: pydicom.Dataset, place: int) -> pydicom.Dataset:
    """The functional groups of a frame (PS3.3 C.7.6.16) that a series needs."""
    x, y, _ = dataset.ImagePositionPatient
    macros = {
        "PixelMeasuresSequence": {"PixelSpacing": dataset.PixelSpacing, "SliceThickness": dataset.SliceThickness},
        "PlaneOrientationSequence": {"ImageOrientationPatient": dataset.ImageOrientationPatient},
        "PlanePositionSequence": {"ImagePositionPatient": [x, y, round(place * SPACING_MM, 3)]},
        "PixelValueTransformationSequence": {
            "RescaleSlope": dataset.RescaleSlope,
            "RescaleIntercept": dataset.RescaleIntercept,
            "RescaleType": "HU",
        },
    }
    groups = pydicom.Dataset()
    for macro, attributes in macros.items():
        item = pydicom.Dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        setattr(groups, macro, [item])
    return groups


WAYS: Final[dict[str, Callable[[Portion], bytes]]] = {"series": single_files, "multi_frame": multi_frame}


def form(files: Iterable[bytes]) -> bytes:
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


def cpu_seconds(service: Service) -> float:
    """Processor time of the service so far (proc(5): utime and stime)."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost_of(slices: Sequence[pydicom.Dataset], size: int, body_of: Callable[[Portion], bytes]) -> Cost:
    """One size in a process of its own, which has judged single slices before."""
    service = Service()
    service.wait_until_ready()
    singles_ms = single_slices(service, slices)
    ready = memory(service, "VmRSS")
    first = judged(service, [body_of(next(portions(slices, size)))])
    settled = memory(service, "VmRSS")
    runs = tuple(judged(service, map(body_of, portions(slices, size))) for _ in range(ROUNDS))
    service.process.terminate()
    service.end()
    return Cost(size, runs, first.peak_bytes, ready, settled, tuple(singles_ms))


def judged(service: Service, bodies: Iterable[bytes]) -> Run:
    """The mean over the series of one size that make up the scan; their highest peak."""
    reset_peak(service)
    stages: list[dict[str, float]] = []
    seconds, cpu = 0.0, 0.0
    for body in bodies:
        before = cpu_seconds(service)
        answer, taken = post(service, "/v1/studies", body, f"multipart/form-data; boundary={BOUNDARY}")
        stages.append({stage: answer["timing_ms"].get(stage, 0.0) / 1000 for stage in STAGES})
        seconds, cpu = seconds + taken, cpu + cpu_seconds(service) - before
    stages_s = {stage: statistics.fmean(each[stage] for each in stages) for stage in STAGES}
    return Run(stages_s, seconds / len(stages), cpu / len(stages), memory(service, "VmHWM"))


def single_slices(service: Service, slices: Sequence[pydicom.Dataset]) -> list[float]:
    """Milliseconds of single slices without roi, spread over the scan."""
    took = []
    for n in range(SINGLE_REQUESTS):
        out = io.BytesIO()
        slices[n * len(slices) // SINGLE_REQUESTS].save_as(out)
        took.append(post(service, "/v1/predict", out.getvalue(), "application/dicom")[1] * 1000)
    return took


def report(costs: Mapping[str, Sequence[Cost]]) -> dict[str, Any]:
    """What is written: the costs of all sizes by how they were sent."""
    singles_ms = [ms for ways in costs.values() for cost in ways for ms in cost.singles_ms]
    return {
        "command": COMMAND,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "single_slice_ms": {"median": round(statistics.median(singles_ms), 1), "max": round(max(singles_ms), 1)},
        "memory_per_slice_mb": {way: round(growth_mb(ways), 3) for way, ways in costs.items()},
        **{way: [figures(cost, ways[len(ways) // 2]) for cost in ways] for way, ways in costs.items()},
    }


def growth_mb(costs: Sequence[Cost]) -> float:
    """What one slice more adds to the peak, between the smallest and the largest size."""
    small, large = costs[0], costs[-1]
    return (large.first_peak_bytes - small.first_peak_bytes) / max(1, large.slices - small.slices) / MB


def figures(cost: Cost, middle: Cost) -> dict[str, Any]:
    """One size; `middle` is the one to which its processor time is compared."""
    return {
        "slices": cost.slices,
        "computing_s": round(cost.computing_s, 2),
        "with_upload_s": round(cost.wall_s, 2),
        "stages_s": {stage: round(seconds, 2) for stage, seconds in cost.stages_s.items()},
        "cpu_ms_per_slice": round(cost.cpu_s / cost.slices * 1000, 1),
        "cpu_per_slice_to_middle_size": round(cost.cpu_s / cost.slices / (middle.cpu_s / middle.slices), 3),
        "ready_mb": round(cost.ready_bytes / MB, 1),
        "first_peak_mb": round(cost.first_peak_bytes / MB, 1),
        "first_peak_over_ready_per_slice_mb": cost.over_per_slice_mb(cost.first_peak_bytes, cost.ready_bytes),
        "settled_mb": round(cost.settled_bytes / MB, 1),
        "later_peak_mb": round(cost.later_peak_bytes / MB, 1),
        "later_peak_over_settled_per_slice_mb": cost.over_per_slice_mb(cost.later_peak_bytes, cost.settled_bytes),
        "later_peak_over_ready_per_slice_mb": cost.over_per_slice_mb(cost.later_peak_bytes, cost.ready_bytes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the development data")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="slices of the series, ascending")
    parser.add_argument("--out", type=Path, help="write the results there too, as JSON")
    given = parser.parse_args()
    slices = read_series(given.data / SERIES)
    costs = {way: [cost_of(slices, size, body_of) for size in given.sizes] for way, body_of in WAYS.items()}
    text = json.dumps(report(costs), indent=1)
    sys.stdout.write(text + "\n")
    if given.out is not None:
        given.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
