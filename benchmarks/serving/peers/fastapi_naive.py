"""FastAPI and TensorFlow as a tutorial puts them together: one process, inference in the coroutine."""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import FastAPI, Request, UploadFile

from benchmarks.serving.peers.reading import answers, load_tensorflow, options, reader_of


def main() -> None:
    """Serve raw bodies at /predict and forms at /form."""
    given = options()
    reader, backend = reader_of(given), load_tensorflow(given.cores)
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        return answers(backend, [reader.patch(await request.body())])[0]

    @app.post("/form")
    async def predict_form(file: UploadFile) -> dict[str, Any]:
        return answers(backend, [reader.patch(await file.read())])[0]

    # Resolved here: FastAPI looks annotations up among a module's globals.
    uvicorn.run(app, host="127.0.0.1", port=given.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
