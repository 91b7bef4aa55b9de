"""The plain in-process loop that a server is held against: `pydicom.dcmread`, `pixel_array`, rescale, patch, infer.

A process per core, each on one thread. `python -m benchmarks.serving.ceiling` with a `Loop` as JSON on a line of
standard input says "ready", waits for the next line, and writes a `Lap`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.inference.backends import Backend
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from benchmarks.serving.peers.reading import BUNDLE, Reader, answers
from benchmarks.serving.processes import LOGS, REPOSITORY

BACKENDS: Final[dict[str, Callable[[], Backend]]] = {
    "openvino": lambda: OpenVINOBackend(1),
    "tensorflow": lambda: TensorFlowBackend(1),
}
WARM_UPS: Final = 30


@dataclass(frozen=True, slots=True)
class Loop:
    """What one process does: `dicom` is a file, `patch` its size in pixels and spacing in mm."""

    backend: str
    dicom: str
    roi_px: tuple[float, float]
    patch: tuple[int, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Lap:
    """What one process, or all together, did: `cpu_s` is processor time, `malignancy` the last answer."""

    requests: int
    seconds: float
    cpu_s: float
    malignancy: float

    @property
    def rate(self) -> float:
        """Slices a second."""
        return self.requests / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time of one slice."""
        return 1e3 * self.cpu_s / self.requests


def together(laps: Sequence[Lap]) -> Lap:
    """Processes side by side: rates add up."""
    requests = sum(lap.requests for lap in laps)
    return Lap(requests, requests / sum(lap.rate for lap in laps), sum(lap.cpu_s for lap in laps), laps[0].malignancy)


def run_loops(loop: Loop, processes: int) -> Lap:
    """The loop in several processes that start together."""
    command = [sys.executable, "-m", "benchmarks.serving.ceiling"]
    LOGS.mkdir(parents=True, exist_ok=True)
    pipe, log = subprocess.PIPE, (LOGS / "loop.log").open("wb")
    with log:  # TensorFlow's notices
        running = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, cwd=REPOSITORY)
            for _ in range(processes)
        ]
    try:
        for process in running:
            _tell(process, json.dumps(asdict(loop)))
        for process in running:
            _hear(process)
        for process in running:
            _tell(process, "go")
        return together([Lap(**json.loads(_hear(process))) for process in running])
    finally:
        for process in running:
            process.kill()
            process.wait()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def judge(backend: Backend, reader: Reader, data: bytes) -> float:
    """One slice from its bytes to its malignancy."""
    patch: NDArray[np.float32] = reader.patch(data)
    found: float = answers(backend, [patch])[0]["malignancy"]
    return found


def main() -> None:
    """One process."""
    given = json.loads(sys.stdin.readline())
    loop = Loop(given["backend"], given["dicom"], tuple(given["roi_px"]), tuple(given["patch"]), given["seconds"])
    data = Path(loop.dicom).read_bytes()
    reader = Reader(loop.roi_px, PatchSpec(*loop.patch))
    backend = BACKENDS[loop.backend]()
    backend.load(BUNDLE)
    for _ in range(WARM_UPS):
        malignancy = judge(backend, reader, data)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    started, cpu_s, requests = time.perf_counter(), time.process_time(), 0
    while (spent := time.perf_counter() - started) < loop.seconds:
        malignancy = judge(backend, reader, data)
        requests += 1
    sys.stdout.write(json.dumps(asdict(Lap(requests, spent, time.process_time() - cpu_s, malignancy))) + "\n")


if __name__ == "__main__":
    main()
