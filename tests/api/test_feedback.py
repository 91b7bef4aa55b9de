"""Verdicts on what was judged: taken by the ids that answers have, joined to the answer, kept without patient."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from phantoms.series import slice_file
from phantoms.slices import SECRET_ID, SECRET_NAME
from tests.api.conftest import ON_NODULE, declared, png, wait_until_ready
from tests.fakes import arithmetic_backends, write_models
from tests.inference.slices import chest

NOBODY = "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11"
PERFORMANCE = "/v1/models/nodule-classifier/performance"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_models(tmp_path / "models")
    return Settings(models_dir=tmp_path / "models", threads=1, feedback_dir=tmp_path / "feedback")


@contextmanager
def running(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with running(settings) as client:
        yield client


def say(client: TestClient, verdict: str = "malignant", source: str = "reader", **named: Any) -> Any:
    return client.post("/v1/feedback", json={**named, "verdict": verdict, "source": source})


def judge(client: TestClient, slice_: bytes, **asked: str) -> Any:
    answered = client.post("/v1/predict", params=asked, content=slice_)
    assert answered.status_code == 200
    return answered.json()


def counted(client: TestClient, of: str = "findings") -> dict[str, int]:
    verdicts: dict[str, int] = client.get(PERFORMANCE).json()[of]["verdicts"]
    return verdicts


def tracking_uids(client: TestClient, file: bytes) -> list[str]:
    """What SR calls the findings of a slice."""
    answered = client.post("/v1/predict", content=file, headers={"Accept": "application/dicom"})
    (report,) = (each for each in parts(answered) if each.Modality == "SR")
    return uids(report)


def parts(answered: Any) -> Sequence[Any]:
    boundary = answered.headers["content-type"].partition("boundary=")[2].split(";")[0].strip('"').encode()
    pieces = answered.content.split(b"--" + boundary)[1:-1]
    return [dcmread(BytesIO(piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))) for piece in pieces]


def uids(report: Any) -> list[str]:
    """The tracking UIDs (112040, DCM) of a structured report."""
    found = [
        item.UID
        for group in report.ContentSequence
        for item in walk(group)
        if item.ConceptNameCodeSequence[0].CodeValue == "112040"
    ]
    return list(dict.fromkeys(found))


def walk(item: Any) -> Iterator[Any]:
    if "ConceptNameCodeSequence" in item:
        yield item
    for below in item.get("ContentSequence", ()):
        yield from walk(below)


def test_a_verdict_joins_the_probability_that_was_answered(client: TestClient, suspicious: bytes) -> None:
    answer = judge(client, suspicious, **ON_NODULE)
    taken = say(client, request_id=answer["request_id"], finding=1)
    assert taken.status_code == 200
    assert taken.json() == {"of": "finding", "changed": True, "verdict": "malignant", "source": "reader"}
    (case,) = client.app.state.services.watch.cases()  # type: ignore[attr-defined]  # the client types it as bare ASGI
    assert (case.probability, case.decision, case.digest, case.verdict) == (
        pytest.approx(answer["probability"]),
        answer["decision"],
        answer["model"]["digest"],
        "malignant",
    )


def test_the_same_verdict_twice_counts_once_and_a_later_one_replaces_it(client: TestClient, suspicious: bytes) -> None:
    named = {"request_id": judge(client, suspicious, **ON_NODULE)["request_id"], "finding": 1}
    assert say(client, **named).json()["changed"]
    assert not say(client, **named).json()["changed"]
    assert counted(client) == {"malignant": 1, "benign": 0, "no_nodule": 0}
    assert say(client, "no_nodule", **named).json() == {
        "of": "finding",
        "changed": True,
        "verdict": "no_nodule",
        "source": "reader",
    }
    assert counted(client) == {"malignant": 0, "benign": 0, "no_nodule": 1}


def test_pathology_counts_before_the_reader_whichever_comes_last(client: TestClient, suspicious: bytes) -> None:
    named = {"request_id": judge(client, suspicious, **ON_NODULE)["request_id"]}
    say(client, "benign", "pathology", **named)
    assert say(client, "malignant", "reader", **named).json() == {
        "of": "finding",
        "changed": True,
        "verdict": "benign",
        "source": "pathology",
    }
    assert counted(client)["benign"] == 1
    assert client.get(PERFORMANCE).json()["findings"]["of_pathology"] == 1
    # Taken back, the reader's is left; and then none.
    assert say(client, "withdrawn", "pathology", **named).json()["verdict"] == "malignant"
    left = say(client, "withdrawn", "reader", **named).json()
    assert (left["verdict"], left["source"], sum(counted(client).values())) == (None, None, 0)
    assert not say(client, "withdrawn", "reader", **named).json()["changed"]


def test_dicom_is_known_by_the_uids_of_its_report_and_counts_once_however_often_it_is_judged(
    client: TestClient,
) -> None:
    file = slice_file(8)
    first, second = judge(client, file), judge(client, file)
    assert first["request_id"] != second["request_id"]
    taken = [say(client, uid=uid).json() for uid in tracking_uids(client, file)]
    assert [(each["of"], each["changed"]) for each in taken] == [("scan", True), ("finding", True)]
    assert not say(client, request_id=first["request_id"], finding=1).json()["changed"]
    assert not say(client, request_id=second["request_id"], finding=1).json()["changed"]
    found = client.get(PERFORMANCE).json()
    assert (found["findings"]["judged"], found["scans"]["judged"]) == (len(first["findings"]), 1)
    assert counted(client)["malignant"] == 1


def test_without_a_finding_the_verdict_is_on_the_whole_slice(client: TestClient) -> None:
    answer = judge(client, slice_file(8))
    assert say(client, request_id=answer["request_id"]).json()["of"] == "scan"
    assert counted(client, "scans")["malignant"] == 1
    assert sum(counted(client).values()) == 0


def test_the_report_stands_for_the_whole(client: TestClient) -> None:
    answered = client.post("/v1/predict", content=slice_file(8), headers={"Accept": "application/dicom"})
    (report,) = (each for each in parts(answered) if each.Modality == "SR")
    assert say(client, uid=str(report.SOPInstanceUID)).json()["of"] == "scan"


def test_pictures_are_told_apart_by_their_requests(client: TestClient, suspicious: bytes) -> None:
    other = png(chest({(75, 125): (20, 100)}).hu)
    one, two = judge(client, suspicious, **ON_NODULE), judge(client, other, **ON_NODULE)
    say(client, "malignant", request_id=one["request_id"])
    say(client, "benign", request_id=two["request_id"])
    assert counted(client) == {"malignant": 1, "benign": 1, "no_nodule": 0}


def test_a_finding_that_was_not_judged_counts_for_no_figure(client: TestClient) -> None:
    rejected = judge(client, png(chest({}).hu), **{**ON_NODULE, "roi": "2,2"})
    assert rejected["decision"] == "rejected"
    assert say(client, request_id=rejected["request_id"]).json()["changed"]
    found = client.get(PERFORMANCE).json()
    assert found["findings"]["withheld"] + found["scans"]["withheld"] == 1


def test_verdicts_outlive_the_process_and_workers_share_them(settings: Settings, suspicious: bytes) -> None:
    with running(settings) as client:
        answer = judge(client, suspicious, **ON_NODULE)
    with running(settings) as one, running(settings) as two:
        assert say(one, request_id=answer["request_id"]).json()["changed"]
        assert not say(two, request_id=answer["request_id"]).json()["changed"]
        assert counted(two)["malignant"] == counted(one)["malignant"] == 1


def test_nothing_at_rest_tells_patient_or_request(client: TestClient, settings: Settings) -> None:
    file = slice_file(8)
    header = dcmread(BytesIO(file), stop_before_pixels=True)
    answer = judge(client, file)
    say(client, request_id=answer["request_id"], finding=1)
    uids = (header.SOPInstanceUID, header.SeriesInstanceUID, header.StudyInstanceUID, *tracking_uids(client, file))
    assert settings.feedback_dir is not None
    files = [path for path in settings.feedback_dir.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    kept = b"".join(path.read_bytes() for path in files)
    assert len(kept) > 10_000
    for secret in (SECRET_NAME, SECRET_ID, *uids, answer["request_id"], uuid.UUID(answer["request_id"]).hex):
        assert str(secret).encode() not in kept


def test_what_was_never_judged_is_not_known(client: TestClient, suspicious: bytes) -> None:
    answer = judge(client, suspicious, **ON_NODULE)
    for named in ({"request_id": NOBODY}, {"request_id": answer["request_id"], "finding": 2}, {"uid": "2.25.1"}):
        refused = say(client, **named)
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_judgement")
        assert NOBODY not in refused.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"{", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b"[]", "invalid_parameter"),
        (b'{"request_id": "x", "verdict": "malignant", "source": "reader"}', "invalid_parameter"),
        (b'{"verdict": "malignant", "source": "reader"}', "invalid_parameter"),
        (b'{"uid": "1.2", "request_id": "%b", "verdict": "benign", "source": "reader"}' % NOBODY.encode(), ""),
        (b'{"uid": "1.2", "finding": 1, "verdict": "benign", "source": "reader"}', "invalid_parameter"),
        (b'{"uid": "1.2;--", "verdict": "benign", "source": "reader"}', "invalid_parameter"),
        (b'{"uid": "1.2", "verdict": "cured", "source": "reader"}', "invalid_parameter"),
        (b'{"uid": "1.2", "verdict": "benign", "source": "AI"}', "invalid_parameter"),
        (b'{"uid": "1.2", "verdict": "benign", "source": "reader", "PatientName": "Secret^Name"}', ""),
        (b'{"request_id": "%b", "finding": true, "verdict": "benign", "source": "reader"}' % NOBODY.encode(), ""),
    ],
)
def test_a_body_that_is_no_verdict_is_refused_without_repeating_it(client: TestClient, body: bytes, code: str) -> None:
    refused = client.post("/v1/feedback", content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, code or "invalid_parameter")
    assert "Secret" not in refused.text
    assert NOBODY not in refused.text


def test_a_long_body_is_refused(client: TestClient) -> None:
    refused = client.post("/v1/feedback", content=b'"' + b"x" * 5000 + b'"')
    assert (refused.status_code, refused.json()["code"]) == (413, "input_too_large")


def test_without_a_folder_the_setting_is_named(settings: Settings, suspicious: bytes) -> None:
    with running(settings.model_copy(update={"feedback_dir": None})) as client:
        answer = judge(client, suspicious, **ON_NODULE)
        declared(json.dumps(answer).encode())
        for refused in (say(client, request_id=answer["request_id"]), client.get(PERFORMANCE)):
            assert (refused.status_code, refused.json()["code"]) == (501, "feedback_off")
            assert "LUNGSCOPE_FEEDBACK_DIR" in refused.json()["expected"]


def test_other_models_have_no_verdicts(client: TestClient) -> None:
    refused = client.get("/v1/models/nodule-detector/performance")
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_model")
    assert refused.json()["expected"] == "nodule-classifier"


def test_verdicts_are_on_record(tmp_path: Path, settings: Settings, suspicious: bytes) -> None:
    with running(settings.model_copy(update={"audit_dir": tmp_path / "audit"})) as client:
        answer = judge(client, suspicious, **ON_NODULE)
        said = say(client, request_id=answer["request_id"])
    texts = [path.read_text("utf-8") for path in tmp_path.glob("audit/chain-*/*.jsonl")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    (line,) = (line for line in lines if line["operation"] == "take_verdict")
    assert line["request_id"] == said.headers["x-request-id"]
    assert line["details"] == {"of": "finding", "verdict": "malignant", "source": "reader", "changed": True}


def test_figures_and_metrics_appear_once_enough_verdicts_are_there(client: TestClient) -> None:
    """Twenty of 700 HU (probability 0.85) are malignant, twenty of 100 HU (0.55) and one of 700 HU are not."""
    slices = {hu: png(chest({(75, 125): (20, hu)}).hu) for hu in (100, 700)}
    told = [(700, "malignant")] * 20 + [(100, "benign")] * 19 + [(700, "benign")]
    for hu, verdict in told:
        say(client, verdict, request_id=judge(client, slices[hu], **ON_NODULE)["request_id"])
        findings = client.get(PERFORMANCE).json()["findings"]
        assert (findings["auc"] is None) == (sum(findings["verdicts"].values()) < 40)
    assert findings["auc"]["value"] == pytest.approx((20 * 19 + 20 * 0.5) / 400)
    assert findings["auc"]["low"] < findings["auc"]["value"] < findings["auc"]["high"] < 1
    assert findings["sensitivity"]["value"] == 1
    assert findings["specificity"]["value"] == 0  # the operating point is 0.5
    assert findings["observed_to_expected"]["value"] == pytest.approx(20 / (21 * 0.85 + 19 * 0.55), abs=0.01)
    shown = client.get("/metrics").text
    assert 'lungscope_verdicts{of="finding",verdict="malignant"} 20.0' in shown
    assert f'lungscope_live_figure{{bound="value",figure="auc",of="finding"}} {findings["auc"]["value"]}' in shown
    assert 'lungscope_live_figure{bound="value",figure="sensitivity",of="scan"} NaN' in shown
