"""Patches and requests for the tests of the dialects."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from app.api.dialects.open_inference import JSON_LENGTH
from app.main import create_app
from app.settings import Settings
from tests.fakes import SIZE_PX, ArithmeticBackend, arithmetic_backends, write_models

CLASSIFIER = "nodule-classifier"
DETECTOR = "nodule-detector"
INFER = f"/v2/models/{CLASSIFIER}/infer"
SLICE_INFER = "/v2/models/lungscope-slice/infer"
HU = (-1000.0, 0.0, 500.0)
MALIGNANCY = [0.0, 0.5, 0.75]  # of patches of these HU, by ArithmeticBackend


@contextmanager
def served_by(classifier: ArithmeticBackend, folder: Path) -> Iterator[TestClient]:
    """The service on arithmetic models in a folder, with bounds that tests reach."""
    write_models(folder)
    settings = Settings(models_dir=folder, threads=1, max_json_mb=1, max_patches=8)
    app = create_app(settings, backends=arithmetic_backends(classifier), load_first=True)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def patches(*values: float, size_px: int = SIZE_PX) -> NDArray[np.float32]:
    """(N, size, size, 1), each of one value."""
    return np.stack([np.full((size_px, size_px, 1), value, np.float32) for value in values])


def tensor(batch: NDArray[np.float32], **changes: Any) -> dict[str, Any]:
    """An input of a request with its values in JSON."""
    stated = {"name": "hu", "shape": list(batch.shape), "datatype": "FP32", "data": batch.ravel().tolist()}
    return {name: value for name, value in (stated | changes).items() if value is not None}


def binary_body(request: Mapping[str, Any], *contents: bytes) -> tuple[bytes, dict[str, str]]:
    """A request with bytes after its JSON, and the header that says so."""
    head = json.dumps(request).encode()
    return b"".join((head, *contents)), {JSON_LENGTH: str(len(head))}


def binary_patches(batch: NDArray[np.float32], **request: Any) -> tuple[bytes, dict[str, str]]:
    """A request with patches as bytes."""
    stated = tensor(batch, data=None, parameters={"binary_data_size": batch.nbytes})
    return binary_body({"inputs": [stated], **request}, batch.tobytes())


def binary_file(data: bytes, **request: Any) -> tuple[bytes, dict[str, str]]:
    """A request with one image file as bytes."""
    content = struct.pack("<I", len(data)) + data
    stated = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(content)}}
    return binary_body({"inputs": [stated], **request}, content)


def outputs_of(answer: httpx.Response) -> dict[str, Any]:
    """The outputs of an answer in JSON by name: their values in their shape."""
    assert answer.status_code == 200, answer.text
    return {each["name"]: np.reshape(each["data"], each["shape"]) for each in answer.json()["outputs"]}


def split(answer: httpx.Response) -> tuple[dict[str, Any], bytes]:
    """The JSON of an answer with bytes after it, and these."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[JSON_LENGTH])
    return json.loads(answer.content[:length]), answer.content[length:]


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem, which says what it is in `error` too."""
    said = answer.json()
    assert said["error"] == said["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, said["code"]
