"""FastAPI and TensorFlow as the deployment guide puts them: a worker per core, blocking work in the thread pool."""

from __future__ import annotations

import multiprocessing
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from benchmarks.serving.peers.reading import answers, load_tensorflow, options, reader_of


def create_app() -> FastAPI:
    """One worker's application; the options are those of the command."""
    reader, backend = reader_of(options()), load_tensorflow(1)
    app = FastAPI()

    def judge(data: bytes) -> dict[str, Any]:
        return answers(backend, [reader.patch(data)])[0]

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(judge, await request.body())

    return app


def main() -> None:
    """Serve raw bodies at /predict."""
    given = options()
    multiprocessing.set_start_method("spawn", force=True)
    uvicorn.run(
        "benchmarks.serving.peers.fastapi_workers:create_app",
        factory=True,
        host="127.0.0.1",
        port=given.port,
        workers=given.cores,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
