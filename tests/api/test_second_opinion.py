"""`POST /v1/studies?second_opinion=true`, on models whose answers are arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from phantoms.series import SLICES, slice_file, zipped
from tests.api.conftest import STATED, declared, wait_until_ready
from tests.fakes import CARD, arithmetic_backends
from tests.inference.arithmetic_sequence import ArithmeticSequence, write_sequence

ASKED = {"second_opinion": "true"}
ZIP = {"Content-Type": "application/zip"}


@pytest.fixture(scope="module")
def archive() -> bytes:
    """One sphere of 400 HU."""
    return zipped([slice_file(n) for n in range(SLICES)])


@pytest.fixture
def advised(settings: Settings) -> Iterator[TestClient]:
    """The service with the network over slices."""
    write_sequence(settings.models_dir)
    app = create_app(settings, backends=arithmetic_backends(), sequence_backend=ArithmeticSequence())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def post(client: TestClient, archive: bytes, accept: str = "application/json", **query: str) -> Any:
    return client.post("/v1/studies", params=query, content=archive, headers={**ZIP, "Accept": accept})


def without_opinions(answer: dict[str, Any]) -> dict[str, Any]:
    findings = [{k: v for k, v in f.items() if k != "second_opinion"} for f in answer["findings"]]
    return {**{k: v for k, v in answer.items() if k not in ("request_id", "timing_ms")}, "findings": findings}


def test_each_finding_carries_the_opinion_and_the_rest_is_the_same(advised: TestClient, archive: bytes) -> None:
    response = post(advised, archive, **ASKED)
    assert response.status_code == 200, response.text
    (finding, *_) = declared(response.content)["findings"]
    opinion = finding["second_opinion"]
    assert opinion["probability"] == pytest.approx(0.7, abs=0.03)
    assert (opinion["reason"], opinion["model"]["name"]) == (None, "nodule-sequence")
    assert 2 <= opinion["slices"] <= len(finding["slices"])
    assert "opinion" in response.json()["timing_ms"]
    plain = post(advised, archive).json()
    assert "second_opinion" not in plain["findings"][0]
    assert without_opinions(response.json()) == without_opinions(plain)


def test_a_field_is_as_good_and_so_are_events(advised: TestClient, archive: bytes) -> None:
    form = advised.post("/v1/studies", files={"files": archive}, data=ASKED).json()
    events = post(advised, archive, "application/x-ndjson", **ASKED).text.splitlines()
    for answer in (form, json.loads(events[-1])):
        assert answer["findings"][0]["second_opinion"]["probability"] == pytest.approx(0.7, abs=0.03)


def test_without_the_bundle_the_request_is_refused_before_it_is_judged(client: TestClient, archive: bytes) -> None:
    for accept in ("application/json", "application/x-ndjson"):
        response = post(client, archive, accept, **ASKED)
        assert (response.status_code, response.json()["code"]) == (501, "second_opinion_off")
        assert {"found", "expected", "remedy"} <= response.json().keys()
    assert post(client, archive, second_opinion="false").status_code == 200
    assert "nodule-sequence" not in client.get("/v1/models").text


def test_a_network_that_cannot_run_does_not_stop_the_service(settings: Settings, archive: bytes) -> None:
    class Broken(ArithmeticSequence):
        def load(self, path: Path) -> None:
            raise RuntimeError(f"no such operation in {path.name}")

    write_sequence(settings.models_dir)
    with TestClient(create_app(settings, backends=arithmetic_backends(), sequence_backend=Broken())) as client:
        wait_until_ready(client)
        assert post(client, archive, **ASKED).json()["code"] == "second_opinion_off"
        assert post(client, archive).status_code == 200
        assert client.get("/v1/models/nodule-sequence").json()["status"] == "failed"


@pytest.mark.parametrize("accept", ["application/dicom", "application/fhir+json"])
def test_other_formats_do_not_carry_it(advised: TestClient, archive: bytes, accept: str) -> None:
    response = post(advised, archive, accept, **ASKED)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")


def test_it_is_asked_for_by_yes_or_no(advised: TestClient, archive: bytes) -> None:
    response = post(advised, archive, second_opinion="perhaps")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")


def test_a_single_slice_has_none(advised: TestClient, suspicious: bytes) -> None:
    answer = advised.post("/v1/predict", params={**STATED, **ASKED}, content=suspicious).json()
    assert "parameter_ignored" in {note["code"] for note in answer["quality"]}
    assert "second_opinion" not in answer["findings"][0]


def test_the_network_is_among_the_models(advised: TestClient) -> None:
    listed = advised.get("/v1/models").json()["models"][-1]
    detail = advised.get("/v1/models/nodule-sequence").json()
    assert (listed["name"], listed["status"]) == ("nodule-sequence", "ready")
    assert listed.items() <= detail.items()
    assert detail["performance"]["figures"]["auc_gru"]["value"] == 0.9
    assert advised.get("/v1/models/nodule-sequence/card").text == CARD
