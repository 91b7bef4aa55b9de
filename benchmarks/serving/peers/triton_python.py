"""Triton by PyTriton's wheel: the real server, dynamic batching, the model in Python since the wheel has no backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.serving.peers.reading import MAX_BATCH, answers, load_tensorflow, options, reader_of

MODEL = "nodule-classifier"


def main() -> None:
    """Serve the V2 protocol with its binary extension at /v2/models/nodule-classifier/infer."""
    given = options()
    reader, backend = reader_of(given), load_tensorflow(given.cores)

    @batch  # type: ignore[untyped-decorator]  # PyTriton leaves it untyped
    def infer(files: NDArray[np.object_]) -> dict[str, NDArray[np.float32]]:
        found: list[dict[str, Any]] = answers(backend, [reader.patch(data) for data in files[:, 0]])
        return {name: np.array([[answer[name]] for answer in found], np.float32) for name in ("malignancy", "nodule")}

    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=given.port,
        http_thread_count=2 * given.cores,
        allow_grpc=True,
        grpc_address="127.0.0.1",
        grpc_port=given.port + 1,
        allow_metrics=False,
        metrics_port=given.port + 2,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=MODEL,
            # One entry an instance: a core each.
            infer_func=[infer for _ in range(given.cores)],
            inputs=[Tensor(name="files", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name=name, dtype=np.float32, shape=(1,)) for name in ("malignancy", "nodule")],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main()
