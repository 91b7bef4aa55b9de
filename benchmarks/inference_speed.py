"""Milliseconds a patch by runtime and batch, on one bundle: `python benchmarks/inference_speed.py [BUNDLE]`.

Rounds alternate between the runtimes, so that whatever else the machine does meets them alike. Printed are the medians
of processor time and of wall time, and the ratio of wall time to the reference's. `free batch axis` is OpenVINO on the
model as it is saved, instead of on fixed chunks; `one stream` lets all threads work on one inference.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from tqdm import tqdm

from app.inference.backends import Backend
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend

REPOSITORY = Path(__file__).resolve().parents[1]
Run = Callable[[NDArray[np.float32]], object]
Times = list[tuple[float, float]]


def run_of(backend: Backend, bundle: Path) -> Run:
    backend.load(bundle)
    return backend.run


def free_batch_axis(bundle: Path, threads: int, streams: int) -> Run:
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    request = openvino.compile_model(bundle, "CPU", options | {"ENABLE_CPU_PINNING": False}).create_infer_request()
    return lambda hu: request.infer(hu, share_inputs=True)


def runtimes(bundle: Path, threads: int) -> dict[str, Run]:
    """Each runtime's name and what runs patches on it; the reference first."""
    return {
        "tensorflow": run_of(TensorFlowBackend(threads), bundle),
        "openvino": run_of(OpenVINOBackend(threads), bundle),
        "openvino, free batch axis": free_batch_axis(bundle, threads, threads),
        "openvino, free, one stream": free_batch_axis(bundle, threads, 1),
    }


def batches(sizes: list[int], shape: tuple[int, ...]) -> Iterator[list[NDArray[np.float32]]]:
    """One list of batches for each size, and one of all sizes mixed."""
    rng = np.random.default_rng(0)
    single = [400 * rng.standard_normal((size, *shape), np.float32) - 400 for size in sizes]
    yield from ([hu] for hu in single)
    yield single


def timed(run: Run, given: list[NDArray[np.float32]]) -> tuple[float, float]:
    """Seconds of processor and of wall time."""
    processor, wall = time.process_time(), time.perf_counter()
    for hu in given:
        run(hu)
    return time.process_time() - processor, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path, default=REPOSITORY / "models" / "nodule-classifier" / "1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 3, 32, 64])
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    shape = tuple(openvino.Core().read_model(given.bundle).input().partial_shape.get_max_shape())[1:]
    runs = runtimes(given.bundle, given.threads)
    times: dict[tuple[str, str], Times] = {}
    for work in tqdm(list(batches(given.batches, shape)), unit="batch size", file=sys.stderr):
        patches = sum(map(len, work))
        label = str(patches) if len(work) == 1 else "mixed"
        for round_, (name, run) in itertools.product(range(given.rounds + 1), runs.items()):
            processor, wall = timed(run, work)
            if round_:  # the first is for kernels that are made on demand
                times.setdefault((label, name), []).append((1e3 * processor / patches, 1e3 * wall / patches))
    for (label, name), found in times.items():
        reference = statistics.median(wall for _, wall in times[label, next(iter(runs))])
        processor, wall = (statistics.median(column) for column in zip(*found, strict=True))
        spent = f"{processor:7.3f} {wall:7.3f} ms a patch, ratio {wall / reference:.2f}"
        sys.stdout.write(f"batch {label:>5s}  {name:28s} {spent}\n")


if __name__ == "__main__":
    main()
