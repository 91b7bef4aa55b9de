"""The service in process, on the arithmetic model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from app.judgement.answer_types import Answer
from app.main import create_app
from app.settings import Settings
from tests.fakes import ArithmeticBackend, ArithmeticFilter, arithmetic_backends, write_models
from tests.inference.slices import chest

NODULE = (75, 125)
WINDOW = (1024.0, 4096.0)
STATED = {"pixel_spacing_mm": "1.4", "window": "1024,4096"}
ANSWER = TypeAdapter(Answer)
ON_NODULE = {**STATED, "roi": "75,125"}


def declared(content: bytes) -> Answer:
    """An answer that is of the declared types, to the letter, with nothing beside."""
    return ANSWER.validate_json(content, strict=True, extra="forbid")


def png(hu: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    """A 16-bit PNG written with WINDOW."""
    centre, width = WINDOW
    values = np.clip((hu - (centre - width / 2)) / width, 0, 1) * 65535
    done, encoded = cv2.imencode(".png", values.round().astype(np.uint16))
    assert done
    return encoded.tobytes()


@pytest.fixture(scope="session")
def suspicious() -> bytes:
    """A slice with one nodule of 400 HU (probability 0.7) at NODULE."""
    return png(chest({NODULE: (20, 400)}).hu)


@pytest.fixture
def backend() -> ArithmeticBackend:
    return ArithmeticBackend()


@pytest.fixture
def detector_backend() -> ArithmeticFilter:
    return ArithmeticFilter()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_models(tmp_path)
    return Settings(models_dir=tmp_path, max_body_mb=1, max_study_mb=4, max_series=1, threads=1, queue_limit=0)


@pytest.fixture
def client(settings: Settings, backend: ArithmeticBackend, detector_backend: ArithmeticFilter) -> Iterator[TestClient]:
    app = create_app(settings, backends=arithmetic_backends(backend, detector_backend))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def wait_until_ready(client: TestClient) -> None:
    for _ in range(10_000):
        if client.get("/health/ready").status_code == 200:
            return
    raise AssertionError("never ready")
