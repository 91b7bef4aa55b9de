"""BentoML: a service with a worker per core that reads slices, and behind it the model with adaptive batching.

Started by `bentoml serve`, which passes the options as `--arg name=value`.
"""

from __future__ import annotations

from typing import Any

import bentoml
import numpy as np
from fastapi import FastAPI, Request
from numpy.typing import NDArray
from pydantic import BaseModel

from app.imaging.patches import PatchSpec
from benchmarks.serving.peers.reading import MAX_BATCH, Reader, answers, load_tensorflow


class Arguments(BaseModel):
    """Of `bentoml serve --arg`."""

    cores: int
    column: float
    row: float
    size_px: int
    spacing_mm: float

    def reader(self) -> Reader:
        """The reader they ask for."""
        return Reader((self.column, self.row), PatchSpec(self.size_px, self.spacing_mm))


QUIET = {"access": {"enabled": False}}
ARGUMENTS = bentoml.use_arguments(Arguments)
front = FastAPI()
alone = FastAPI()


@bentoml.service(workers=1, traffic={"timeout": 30}, logging=QUIET)
class Network:
    """The network on what the workers send at the same time."""

    def __init__(self) -> None:
        self._backend = load_tensorflow(ARGUMENTS.cores)

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000)
    def infer(self, patches: np.ndarray) -> list[dict[str, Any]]:  # type: ignore[type-arg]  # BentoML reads it
        """float32 (N, size, size, 1) to N answers."""
        return answers(self._backend, list(patches))


@bentoml.service(workers=ARGUMENTS.cores, traffic={"timeout": 30}, logging=QUIET)
@bentoml.asgi_app(front)
class Batched:
    """Raw bodies at /predict, the network in a service of its own."""

    network = bentoml.depends(Network)

    def __init__(self) -> None:
        self._reader = ARGUMENTS.reader()

    @front.post("/predict")
    async def predict(self, request: Request) -> dict[str, Any]:
        """Read, then wait for the batch."""
        patch: NDArray[np.float32] = self._reader.patch(await request.body())
        found: list[dict[str, Any]] = await self.network.to_async.infer(patch[None])
        return found[0]


@bentoml.service(workers=ARGUMENTS.cores, traffic={"timeout": 30}, logging=QUIET)
@bentoml.asgi_app(alone)
class Workers:
    """Raw bodies at /predict, the network in every worker and nothing batched."""

    def __init__(self) -> None:
        self._reader = ARGUMENTS.reader()
        self._backend = load_tensorflow(1)

    @alone.post("/predict")
    async def predict(self, request: Request) -> dict[str, Any]:
        """Read and infer."""
        return answers(self._backend, [self._reader.patch(await request.body())])[0]
