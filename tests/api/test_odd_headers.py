"""Odd header values by HTTP: judged in every format, refused with a code, or answered for instance by instance."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from app.delivery.database.store import ResultStore
from app.main import create_app
from app.reports.dicom import WRITERS
from app.settings import Settings
from app.telemetry import JsonFormatter
from benchmarks.serving.service import eventually
from phantoms.series import NODULE, SLICES, slice_file, zipped
from phantoms.slices import SECRET_ID
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb.test_dicomweb import post
from tests.fakes import arithmetic_backends, write_models
from tests.reports.odd_headers import KINDS, replaced, spoilt

FORMATS: Final = ("application/json", "application/dicom", "application/fhir+json", "image/png", "text/html")
UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
NO_UIDS: Final = (b"anon_series_1", b"1.2.3\\1.2.4", b"9/8", b"9..8", b"9.8.", b"01.2", b"9." + b"8" * 63, b"9.8a")
ODD: Final = {
    "StudyDate": b"00000000",
    "AcquisitionDate": b"20230229",
    "InstanceNumber": b"inf",
    "PatientName": "测^试".encode("gbk"),
    "SpecificCharacterSet": b"\x00\x01\x07\n",
    "PatientID": b"SECRET\x00\x1b4711",
    "AccessionNumber": b"A\\B",
    "FrameOfReferenceUID": b"not one",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_models(tmp_path)
    return Settings(
        models_dir=tmp_path,
        spool_dir=tmp_path / "state",
        fhir_url="http://127.0.0.1:9/fhir",
        settle_seconds=0,
        quiet_seconds=0,
        threads=1,
        max_series=1,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def odd(data: bytes) -> bytes:
    for keyword, value in ODD.items():
        data = replaced(data, keyword, value)
    return data


def predict(client: TestClient, data: bytes, accept: str = "application/json") -> Any:
    roi = ",".join(map(str, NODULE.centre_px))
    return client.post("/v1/predict", content=data, params={"roi": roi}, headers={"Accept": accept})


@pytest.mark.parametrize("accept", FORMATS)
def test_a_slice_is_judged_in_every_format(accept: str, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = predict(client, odd(slice_file(8)), accept)
    assert response.status_code == 200, response.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("accept", FORMATS[:3])
def test_a_series_is_judged_in_every_format(accept: str, client: TestClient) -> None:
    body = zipped([odd(slice_file(index)) for index in range(SLICES)])
    response = client.post("/v1/studies", content=body, headers={"Accept": accept})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("kind", KINDS)
def test_any_character_set_is_read(kind: str, client: TestClient) -> None:
    response = predict(client, spoilt(slice_file(8), {"SpecificCharacterSet": kind}), "application/fhir+json")
    assert response.status_code == 200, response.text
    assert SECRET_ID in response.text


@pytest.mark.parametrize("uid", NO_UIDS)
@pytest.mark.parametrize("keyword", UIDS)
def test_what_is_no_uid_is_refused(keyword: str, uid: bytes, client: TestClient) -> None:
    data = replaced(slice_file(8), keyword, uid)
    for response in (predict(client, data), client.post("/v1/studies", content=zipped([data]))):
        assert (response.status_code, response.json()["code"]) == (422, "invalid_uid")
        assert keyword in response.json()["found"]
        assert uid.decode() not in response.text
    status, answer = post(client, [slice_file(7), data])
    assert status == 202
    failures = [*answer.get("FailedSOPSequence", ()), *answer.get("OtherFailuresSequence", ())]
    assert [failure.FailureReason for failure in failures] == [0xC000]
    assert len(answer.ReferencedSOPSequence) == 1
    assert uid.decode() not in answer.to_json()


def test_a_uid_that_is_missing_is_no_reason_not_to_judge(client: TestClient) -> None:
    data = replaced(slice_file(8), "SeriesInstanceUID", b"")
    assert predict(client, data).status_code == 200
    response = predict(client, data, "application/dicom")
    assert (response.status_code, response.json()["code"]) == (406, "no_dicom_source")


def test_a_spooled_slice_with_odd_values_has_its_results(client: TestClient, settings: Settings) -> None:
    assert post(client, [odd(slice_file(8))])[0] == 200
    assert settings.spool_dir is not None
    store = ResultStore(settings.spool_dir / "results.sqlite3")
    assert eventually(lambda: store.waiting("fhir") == 1)
    kinds = {dcmread(BytesIO(store.content(uid) or b"")).Modality for uid in store.find()}
    assert "SR" in kinds
    # It is counted a moment after its results are kept.
    assert eventually(lambda: counted(client, "lungscope_spooled_series_total") == {'outcome="judged"': 1})


def test_a_kind_that_cannot_be_written_costs_only_itself(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(SECRET_ID)

    monkeypatch.setattr("app.reports.fhir.write_bundle", fail)
    monkeypatch.setitem(WRITERS, "capture", lambda *_: 1 / 0)
    response = predict(client, slice_file(8), "application/fhir+json")
    assert (response.status_code, response.json()["code"]) == (422, "result_not_written")
    assert post(client, [slice_file(8)])[0] == 200
    assert settings.spool_dir is not None
    store = ResultStore(settings.spool_dir / "results.sqlite3")
    assert eventually(store.find)
    assert counted(client, "lungscope_spooled_series_total") == {'outcome="judged"': 1}
    assert counted(client, "lungscope_results_unwritten_total") == {'kind="fhir"': 2, 'kind="capture"': 1}
    logged = [JsonFormatter().format(record) for record in caplog.records]
    assert any("a result of kind fhir cannot be written: ValueError" in line for line in logged)
    assert not any(SECRET_ID in line for line in logged)


def counted(client: TestClient, name: str) -> dict[str, float]:
    """The samples of a metric by their labels."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{name}{{")]
    return {line.split("{")[1].split("}")[0]: float(line.split()[-1]) for line in lines}
