"""What a decoder crashes at, hangs on or is swollen by is answered 422 `undecodable`, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from app.cell import template
from app.main import create_app
from app.settings import Settings
from benchmarks.fuzz import sources
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.cell.conftest import FAULTY
from tests.fakes import arithmetic_backends
from tests.imaging.series_files import zipped

FAULTS: Final = {b"abort": "crash", b"spin": "time", b"hog": None}


@pytest.fixture
def faulty(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(template, "MODULE", FAULTY)
    own = settings.model_copy(
        update={"decoding": "cell", "decoder_mb": 128, "decoder_seconds": 1, "queue_limit": 8, "threads": 2}
    )
    with TestClient(create_app(own, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize("fault", FAULTS)
def test_a_picture_that_its_decoder_does_not_survive(faulty: TestClient, suspicious: bytes, fault: bytes) -> None:
    with ThreadPoolExecutor(4) as clients:
        hostile = clients.submit(faulty.post, "/v1/predict", content=suspicious + fault)
        others = [clients.submit(faulty.post, "/v1/predict", params=ON_NODULE, content=suspicious) for _ in range(8)]
        answered, statuses = hostile.result(), {each.result().status_code for each in others}
    assert_undecodable(answered)
    assert statuses == {200}
    counted = FAULTS[fault]
    if counted is not None:
        assert f'lungscope_decoders_lost_total{{cause="{counted}"}} 1.0' in faulty.get("/metrics").text


def assert_undecodable(response: Response) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "undecodable")
    assert problem["found"].startswith("compressed data")
    assert problem["expected"]
    assert problem["remedy"]


def test_it_is_declared(faulty: TestClient) -> None:
    paths = faulty.get("/openapi.json").json()["paths"]
    for path in ("/v1/predict", "/v1/studies"):
        responses = paths[path]["post"]["responses"]
        assert "`undecodable`" in responses["422"]["description"]
        assert "`decoder_unavailable`" in responses["503"]["description"]


def test_an_archive_is_unpacked_in_a_cell(faulty: TestClient) -> None:
    files = {str(n): file.written() for n, file in enumerate(sources.series())}
    assert faulty.post("/v1/studies", content=zipped(files)).status_code == 200


def test_where_there_is_no_cell_the_client_is_asked_to_come_again(
    settings: Settings, suspicious: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "MODULE", "tests.cell.no_such_module")
    own = settings.model_copy(update={"decoding": "cell"})
    with TestClient(create_app(own, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        answered = client.post("/v1/predict", content=suspicious)
        assert (answered.status_code, answered.json()["code"]) == (503, "decoder_unavailable")
        assert answered.headers["Retry-After"]
        assert client.post("/v1/predict", content=sources.slices()["ExplicitVRLittleEndian"].written()).is_success
