"""The plain in-process loop that a server is held against: `pydicom.dcmread`, `pixel_array`, rescale, patch, infer.

A process per core, each on one thread. `python -m benchmarks.serving.ceiling` with a `Loop` as JSON on a line of
standard input says "ready", and writes a `Lap` for each line that follows.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self  # OpenVINO does not declare its types (no py.typed)

import numpy as np
import openvino
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.inference.backends import Backend, Outputs
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from benchmarks.serving.peers.reading import BUNDLE, Reader, answers
from benchmarks.serving.processes import LOGS, REPOSITORY

WARM_UPS: Final = 30
# Memory that is given back is fetched again for every image, for a fifth of a slice's time: a plain loop needs telling.
KEEP_MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "134217728"}


class PlainOpenVINO:
    """OpenVINO as a script calls it, with the options that are fastest for one patch at a time on one core: a fixed
    shape and float32. Nothing of what the service does to the graph."""

    name = "plain openvino"
    OPTIONS: Final = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,  # or every process keeps to the same core
    }

    def __init__(self) -> None:
        self._request: Any = None

    @staticmethod
    def is_available() -> bool:
        """It comes with the service."""
        return True

    def load(self, path: Path) -> None:
        """Compile the SavedModel in `path`."""
        core = openvino.Core()
        model = core.read_model(path)
        model.reshape([1, *list(model.input().partial_shape)[1:]])
        self._request = core.compile_model(model, "CPU", self.OPTIONS).create_infer_request()

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """float32 (1, size, size, 1) in HU to the model's outputs."""
        found = self._request.infer({0: hu}, share_inputs=True, share_outputs=True)
        return {port.get_any_name(): values for port, values in found.items()}


PLAIN: Final = "openvino"
OWN: Final = "the service's"
TENSORFLOW: Final = "tensorflow"
BACKENDS: Final[dict[str, Callable[[], Backend]]] = {
    PLAIN: PlainOpenVINO,
    OWN: lambda: OpenVINOBackend(1),
    TENSORFLOW: lambda: TensorFlowBackend(1),
}


@dataclass(frozen=True, slots=True)
class Loop:
    """What one process does: `dicom` is a file, `patch` its size in pixels and spacing in mm."""

    backend: str
    dicom: str
    roi_px: tuple[float, float]
    patch: tuple[int, float]
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its JSON."""
        given = json.loads(text)
        return cls(
            given["backend"], given["dicom"], tuple(given["roi_px"]), tuple(given["patch"]), float(given["seconds"])
        )


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


@contextmanager
def loops(loop: Loop, processes: int) -> Iterator[Callable[[], Lap]]:
    """The loop in several processes, loaded; what is given runs one lap of it, in all of them at once."""
    variables = [f"{name}={value}" for name, value in KEEP_MEMORY.items()]
    command = ["env", *variables, sys.executable, "-m", "benchmarks.serving.ceiling"]
    LOGS.mkdir(parents=True, exist_ok=True)
    pipe, log = subprocess.PIPE, (LOGS / "loop.log").open("wb")
    with log:  # TensorFlow's notices
        running = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, cwd=REPOSITORY)
            for _ in range(processes)
        ]

    def lap() -> Lap:
        for process in running:
            _tell(process, "go")
        return together([Lap(**json.loads(_hear(process))) for process in running])

    try:
        for process in running:
            _tell(process, json.dumps(asdict(loop)))
        for process in running:
            _hear(process)
        yield lap
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


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def judge_of(loop: Loop) -> Callable[[bytes], float]:
    """What takes one slice from its bytes to its malignancy, loaded."""
    reader = Reader(loop.roi_px, PatchSpec(*loop.patch))
    backend = BACKENDS[loop.backend]()
    backend.load(BUNDLE)

    def judge(data: bytes) -> float:
        found: float = answers(backend, [reader.patch(data)])[0]["malignancy"]
        return found

    return judge


def main() -> None:
    """One process."""
    loop = Loop.parse(sys.stdin.readline())
    data = Path(loop.dicom).read_bytes()
    judge = judge_of(loop)
    for _ in range(WARM_UPS):
        judge(data)
    _say("ready")
    for _ in sys.stdin:
        _say(json.dumps(asdict(run_lap(partial(judge, data), loop.seconds))))


def run_lap(judge: Callable[[], float], seconds: float) -> Lap:
    """Again and again for some seconds."""
    started, cpu_s, requests, malignancy = time.perf_counter(), time.process_time(), 0, math.nan
    while (spent := time.perf_counter() - started) < seconds:
        malignancy = judge()
        requests += 1
    return Lap(requests, spent, time.process_time() - cpu_s, malignancy)


if __name__ == "__main__":
    main()
