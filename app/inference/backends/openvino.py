"""OpenVINO runtime: reads the SavedModel as it is, on the CPU. TensorFlow is never imported."""

from __future__ import annotations

import importlib.util
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final  # OpenVINO does not declare its types (no py.typed)

import numpy as np
from numpy.typing import NDArray

from app.errors import BundleError
from app.inference.backends import Outputs
from app.inference.backends.openvino_graph import join_doublings, narrow_by_phases
from app.inference.graph_operations import require_computing

# Patches of one inference, largest first. Fixed shapes run up to twice as fast as a free batch axis and need no new
# kernels for a new batch size; more patches at once leave the cache (docs/decisions/0008).
CHUNKS: Final = (4, 1)


class OpenVINOBackend:
    """Runs a SavedModel on `threads` streams of one thread each; a batch is spread over them in chunks.

    `load` raises BundleError unless each of the model's one input and outputs has a free first axis and no other.
    """

    name = "openvino"

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._compiled: dict[int, Any] = {}
        # Asked once: the runtime takes a tenth of an inference to say.
        self._input_shape: tuple[int, ...] = ()
        self._output_shapes: dict[str, tuple[int, ...]] = {}
        self._streams = 0
        self._own = threading.local()  # requests are not shared: each calling thread has its own

    @staticmethod
    def is_available() -> bool:
        """Whether OpenVINO is installed; imports nothing."""
        return importlib.util.find_spec("openvino") is not None

    def load(self, path: Path) -> None:
        """Load the SavedModel in `path`; raises BundleError when OpenVINO cannot read it, or may not."""
        require_computing(path)
        try:
            import openvino

            core = openvino.Core()
            model = core.read_model(path)
            for size in CHUNKS:
                fixed = model.clone()
                fixed.reshape([size, *list(model.input().partial_shape)[1:]])
                join_doublings(fixed)
                narrow_by_phases(fixed)
                self._compiled[size] = core.compile_model(fixed, "CPU", _options(self._threads))
        except (ImportError, RuntimeError) as error:
            raise BundleError(
                found=f"{path}: a SavedModel that OpenVINO cannot load ({_first_line(error)})",
                expected="a SavedModel with one input whose first axis alone is free",
                remedy="Use LUNGSCOPE_BACKEND=tensorflow, or export the bundle again with scripts/export.py.",
            ) from error
        single = self._compiled[1]
        self._input_shape = tuple(single.input().shape)[1:]
        self._output_shapes = {port.get_any_name(): tuple(port.shape)[1:] for port in single.outputs}
        # OpenVINO makes no more streams than the machine has cores.
        self._streams = int(single.get_property("NUM_STREAMS"))
        self._own = threading.local()

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """float32 (N, size, size, 1) in HU to the model's outputs, batch axis first. Thread-safe.

        The arrays returned are the caller's own. Raises ValueError for patches of another shape.
        """
        if hu.shape[1:] != self._input_shape:
            raise ValueError(f"patches of shape {hu.shape[1:]}; the model takes {self._input_shape}")
        outputs = {name: np.empty((len(hu), *shape), np.float32) for name, shape in self._output_shapes.items()}
        lanes, parts = self._lanes(), list(_parts(len(hu)))
        if len(lanes) == 1 or len(parts) == 1:
            for part in parts:
                _keep(lanes[0][part.stop - part.start].infer(hu[part]), part, outputs)
        else:
            _spread(hu, parts, lanes, outputs)
        return outputs

    def _lanes(self) -> list[dict[int, _Request]]:
        """This thread's requests: for each stream, one of each chunk size."""
        lanes: list[dict[int, _Request]] | None = getattr(self._own, "lanes", None)
        if lanes is None:
            lanes = [{size: _Request(model) for size, model in self._compiled.items()} for _ in range(self._streams)]
            self._own.lanes = lanes
        return lanes


class _Request:
    """One inference on memory of its own: patches are copied in, outputs copied out before the next may overwrite."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._input: NDArray[np.float32] = self._request.get_input_tensor().data
        self._outputs: dict[str, NDArray[np.float32]] = {
            port.get_any_name(): self._request.get_tensor(port).data for port in compiled.outputs
        }

    def infer(self, hu: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """In the calling thread: the stream's own would be another on the same core, with a cache to fill."""
        self._input[:] = hu
        self._request.infer(share_outputs=True)
        return self._outputs

    def start(self, hu: NDArray[np.float32]) -> None:
        """In the stream's own thread, until `finish`; `hu` is float32 (chunk, size, size, 1)."""
        self._input[:] = hu
        self._request.start_async()

    def finish(self) -> dict[str, NDArray[np.float32]]:
        """The outputs of what was started: the request's own memory, batch axis first."""
        self._request.wait()
        return self._outputs


def _spread(
    hu: NDArray[np.float32],
    parts: Sequence[slice],
    lanes: Sequence[dict[int, _Request]],
    outputs: dict[str, NDArray[np.float32]],
) -> None:
    """One part in each lane at a time."""
    running: deque[tuple[_Request, slice]] = deque()
    for number, part in enumerate(parts):
        if len(running) == len(lanes):
            _finish(*running.popleft(), outputs)
        request = lanes[number % len(lanes)][part.stop - part.start]
        request.start(hu[part])
        running.append((request, part))
    while running:
        _finish(*running.popleft(), outputs)


def _finish(request: _Request, part: slice, outputs: dict[str, NDArray[np.float32]]) -> None:
    _keep(request.finish(), part, outputs)


def _keep(found: dict[str, NDArray[np.float32]], part: slice, outputs: dict[str, NDArray[np.float32]]) -> None:
    for name, values in found.items():
        outputs[name][part] = values


def _parts(patches: int) -> Iterator[slice]:
    """`patches` cut into chunks, the largest that fit first."""
    start = 0
    for size in CHUNKS:
        while patches - start >= size:
            yield slice(start, start + size)
            start += size


def _options(threads: int) -> dict[str, Any]:
    return {
        # bfloat16, the default where the CPU has it, differs by 1e-2: ten times what a golden case allows.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        # Every process would pin its first stream to the same core.
        "ENABLE_CPU_PINNING": False,
        # `threads` counts what the scheduler offers, hyper-threads included.
        "ENABLE_HYPER_THREADING": True,
    }


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
