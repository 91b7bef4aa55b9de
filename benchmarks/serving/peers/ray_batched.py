"""Ray Serve with a replica per core, decoding in the replica and a batch of whatever waits."""

from __future__ import annotations

import argparse
import signal
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.peers.reading import MAX_BATCH, answers, load_tensorflow, options, reader_of

QUIET = {"enable_access_log": False}


@serve.deployment(max_ongoing_requests=2 * MAX_BATCH, ray_actor_options={"num_cpus": 1}, logging_config=QUIET)
class SliceDeployment:
    """One slice as a raw body."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._reader = reader_of(given)
        self._backend = load_tensorflow(1)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0)
    async def _infer(self, patches: list[NDArray[np.float32]]) -> list[dict[str, Any]]:
        return answers(self._backend, patches)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Read, then wait for the batch."""
        answer: dict[str, Any] = await self._infer(self._reader.patch(await request.body()))
        return answer


def main() -> None:
    """Serve raw bodies at /predict."""
    given = options()
    ray.init(num_cpus=given.cores, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": given.port}, logging_config=QUIET)
    replicas = SliceDeployment.options(num_replicas=given.cores)
    serve.run(replicas.bind(given), route_prefix="/predict")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
