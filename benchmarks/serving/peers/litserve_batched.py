"""LitServe with a worker and an API server per core, and batching of whatever waits.

Annotations are evaluated here: LitServe hands that of `decode_request` to FastAPI as it finds it.
"""

import argparse
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from benchmarks.serving.peers.reading import MAX_BATCH, answers, load_tensorflow, options, reader_of


class SliceAPI(litserve.LitAPI):
    """One slice as a raw body."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=0.001)
        self._reader = reader_of(given)

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's interface
        """Load the model in each worker."""
        self._backend = load_tensorflow(1)

    def decode_request(self, request: Annotated[bytes, Body()]) -> NDArray[np.float32]:
        """Bytes to a patch."""
        return self._reader.patch(request)

    def batch(self, inputs: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """As they are: `predict` stacks them."""
        return list(inputs)

    def predict(self, x: list[NDArray[np.float32]]) -> list[dict[str, Any]]:
        """The network on a batch."""
        return answers(self._backend, x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a request."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return output


def main() -> None:
    """Serve raw bodies at /predict."""
    given = options()
    server = litserve.LitServer(SliceAPI(given), accelerator="cpu", workers_per_device=given.cores)
    server.run(
        host="127.0.0.1",
        port=given.port,
        num_api_servers=given.cores,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
