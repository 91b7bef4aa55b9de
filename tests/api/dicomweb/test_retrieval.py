"""WADO-RS in process: what Accept may ask of results, and who waits for the database."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless
from starlette.testclient import TestClient

from app.delivery.database.store import ResultStore
from app.inference.bundle import load_bundle
from app.reports.capture import write_captures
from app.reports.dicom import to_bytes
from app.reports.result import ResultObject
from app.settings import Settings
from tests.fakes import write_models
from tests.reports.cases import draw_report, slice_report
from tests.reports.written import picture_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_models(tmp_path)
    return Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", threads=1)


@pytest.fixture
def study(settings: Settings) -> str:
    """Where two results are that were made earlier."""
    assert settings.spool_dir is not None
    settings.spool_dir.mkdir(exist_ok=True)
    uids = {"0020000D": "1.2", "0020000E": "1.3"}
    for uid in ("1.4", "1.5"):
        told = {tag: {"vr": "UI", "Value": [value]} for tag, value in {**uids, "00080018": uid}.items()}
        result = ResultObject(uid, "dicom", "1.2", "1.3", json.dumps(told), b"a file")
        ResultStore(settings.spool_dir / "results.sqlite3").put(uid, [result], {}, now=0, expires_at=4e9)
    return "/dicom-web/studies/1.2"


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "multipart/*",
        "multipart/related",
        'multipart/related; type="application/dicom"',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related; type="application/*"; transfer-syntax=1.2.840.10008.1.2.1',
        'multipart/related; type="image/jp2", multipart/related; type="application/dicom"; q=0.1',
        'Multipart/Related; Type="Application/DICOM"; transfer-syntax=*, '
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50',
    ],
)
def test_parts_of_dicom_are_given_to_who_may_get_them(client: TestClient, study: str, accept: str) -> None:
    response = client.get(study, headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="image/jp2"',
        'multipart/related; type="application/dicom+xml", multipart/related; type="application/octet-stream"',
        "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50",
        "multipart/related; q=0",
        "application/dicom",  # several instances are no single part
    ],
)
def test_406_for_parts_that_results_are_not(client: TestClient, study: str, accept: str) -> None:
    problem = client.get(study, headers={"Accept": accept}).json()
    assert problem["code"] == "not_acceptable"
    assert 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1' in problem["expected"]


@pytest.mark.parametrize(("syntax", "kept"), [("1.2.840.10008.1.2.1", ExplicitVRLittleEndian), ("*", JPEGLSLossless)])
def test_a_picture_is_as_it_is_kept_or_uncompressed(
    client: TestClient, settings: Settings, study: str, syntax: str, kept: str
) -> None:
    assert settings.spool_dir is not None
    bundle = load_bundle(settings.models_dir / "nodule-classifier" / "1")
    (capture,) = write_captures(slice_report("normal", bundle), draw_report)
    told = {"0020000D": "1.2", "0020000E": "1.3", "00080018": "1.6"}
    attributes = json.dumps({tag: {"vr": "UI", "Value": [value]} for tag, value in told.items()})
    result = ResultObject("1.6", "dicom", "1.2", "1.3", attributes, to_bytes(capture))
    ResultStore(settings.spool_dir / "results.sqlite3").put("1.6", [result], {}, now=0, expires_at=4e9)
    accept = f"application/dicom; transfer-syntax={syntax}"
    content = client.get(f"{study}/series/1.3/instances/1.6", headers={"Accept": accept}).content
    fetched = dcmread(BytesIO(content))
    assert fetched.file_meta.TransferSyntaxUID == kept
    pixels = fetched.pixel_array if kept == ExplicitVRLittleEndian else picture_of(fetched)
    assert np.array_equal(pixels, picture_of(capture))


def test_the_event_loop_never_waits_for_the_database(
    client: TestClient, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []
    read = ResultStore._rows

    def noticed(store: ResultStore, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            asyncio.get_running_loop()
            waited.append(query)
        except RuntimeError:  # a thread of its own
            pass
        return read(store, query, *values)

    monkeypatch.setattr(ResultStore, "_rows", noticed)
    one = f"{study}/series/1.3/instances/1.4"
    assert client.get(one, headers={"Accept": "application/dicom"}).content == b"a file"
    for path in (
        "/dicom-web/studies",
        study,
        f"{study}/metadata",
        f"{study}/series",
        one,
        f"{one}/metadata",
        f"{study}0",
    ):
        for accept in ("*/*", "application/dicom"):
            client.get(path, headers={"Accept": accept})
    assert not waited
