"""What the dialects cost: `lungscope-slice` against `/v1/predict` on the same file, patches over v2 as bytes against
the same network in this process.

    python -m benchmarks.serving.dialects [--seconds 5] [--rounds 7] [--connections 2]

Arms alternate in one run; each figure is the median of the rounds' ratios, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import http.client
import json
import struct
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, Final

import numpy as np

from app.api.dialects.open_inference import JSON_LENGTH
from app.api.routes.docs import EXAMPLE_SLICE
from app.inference.bundle import find_bundle, load_bundle
from app.inference.model import create_backend
from app.machine import usable_cores
from benchmarks.serving.service import MODELS, PATIENCE_S, Service

NETWORK: Final = "nodule-classifier"
BATCH: Final = 32
ROI: Final = "148,240"
Work = Callable[[], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=usable_cores())
    options = parser.parse_args()
    service = Service(environment={"LUNGSCOPE_DECODING": "cell"})
    service.wait_until_ready()
    compared = {
        "lungscope-slice / predict": (_judged_over_v2(service.port), _predicted(service.port)),
        "patches over v2 / in process": (_patches_over_v2(service.port), _in_process()),
    }
    for name, (one, other) in compared.items():
        ratios = [
            _rate(one, options.connections, options.seconds) / _rate(other, options.connections, options.seconds)
            for _ in range(options.rounds)
        ]
        sys.stdout.write(f"{name}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n")
    service.process.terminate()
    service.end()


def _rate(make: Callable[[], Work], callers: int, seconds: float) -> float:
    """Pieces of work a second by so many callers at once, each with what `make` gives it."""

    def call(work: Work) -> int:
        end, done = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            work()
            done += 1
        return done

    works = [make() for _ in range(callers)]
    for work in works:
        work()
    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as executor:
        done = sum(executor.map(call, works))
    return done / (time.perf_counter() - began)


def _posting(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> Callable[[], Work]:
    def make() -> Work:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

        def work() -> None:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{path}: {answer.status}")

        return work

    return make


def _predicted(port: int) -> Callable[[], Work]:
    return _posting(port, f"/v1/predict?roi={ROI}", EXAMPLE_SLICE.read_bytes(), {})


def _judged_over_v2(port: int) -> Callable[[], Work]:
    data = EXAMPLE_SLICE.read_bytes()
    stated = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data) + 4}}
    request = {"inputs": [stated], "parameters": {"roi": ROI, "binary_data_output": True}}
    return _over_v2(port, "lungscope-slice", request, struct.pack("<I", len(data)) + data)


def _patches_over_v2(port: int) -> Callable[[], Work]:
    batch = _batch()
    parameters = {"binary_data_size": batch.nbytes}
    stated = {"name": "hu", "shape": batch.shape, "datatype": "FP32", "parameters": parameters}
    return _over_v2(port, NETWORK, {"inputs": [stated], "parameters": {"binary_data_output": True}}, batch.tobytes())


def _over_v2(port: int, model: str, request: Mapping[str, Any], content: bytes) -> Callable[[], Work]:
    head = json.dumps(request).encode()
    return _posting(port, f"/v2/models/{model}/infer", head + content, {JSON_LENGTH: str(len(head))})


def _in_process() -> Callable[[], Work]:
    backend, batch = create_backend("auto", usable_cores()), _batch()
    backend.load(find_bundle(MODELS, NETWORK))

    def run() -> None:
        backend.run(batch)

    return lambda: run


def _batch() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    golden = load_bundle(find_bundle(MODELS, NETWORK)).manifest.golden
    return np.repeat(golden.batch(), BATCH, axis=0)


if __name__ == "__main__":
    main()
