"""What is on record of a request, what its receipt says, and what happens when nothing can be put on record."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from app.api.negotiation import RECEIPT_HEADER
from app.audit.receipts import Receipt, digest_of, from_header
from app.audit.trail import AuditTrail
from app.audit.verification import verify
from app.imaging.content_digest import file_digest, written
from app.judgement.result_digest import result_bytes
from app.main import create_app
from app.security.pseudonyms import load_key, pseudonym
from app.settings import Settings
from app.signing import VerifyingKey
from phantoms.series import slice_file
from tests.api.conftest import ON_NODULE, declared, wait_until_ready
from tests.fakes import arithmetic_backends, write_models
from tests.keys import write_key

ACCESSION = "ACC-4711"


def lines(folder: Path) -> list[dict[str, object]]:
    paths = sorted(folder.glob("chain-*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


def about(folder: Path, operation: str) -> list[dict[str, object]]:
    return [line for line in lines(folder) if line["operation"] == operation]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_key(tmp_path, "service")


@pytest.fixture
def recorded(tmp_path: Path, keys: tuple[Path, Path]) -> Settings:
    write_models(tmp_path / "models")
    return Settings(
        models_dir=tmp_path / "models",
        threads=1,
        audit_dir=tmp_path / "audit",
        signing_key=keys[0],
        spool_dir=tmp_path / "spool",
    )


@pytest.fixture
def audit(recorded: Settings) -> Path:
    assert recorded.audit_dir is not None
    return recorded.audit_dir


@pytest.fixture
def client(recorded: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(recorded, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def trail_of(client: TestClient) -> AuditTrail:
    trail: AuditTrail = client.app.state.services.records.trail  # type: ignore[attr-defined]  # the client types it as bare ASGI
    return trail


def test_a_judgement_is_on_record_before_it_is_answered(client: TestClient, audit: Path, suspicious: bytes) -> None:
    answered = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    assert answered.status_code == 200
    (line,) = about(audit, "judge_slice")
    assert line["request_id"] == answered.json()["request_id"]
    assert (line["who"], line["decision"], line["outcome"]) == ("anybody", answered.json()["decision"], "done")
    assert line["input"] == written(file_digest(suspicious))
    assert line["models"] == {
        "nodule-classifier/1": answered.json()["model"]["digest"],
        "chest-view/1": line["models"]["chest-view/1"],  # type: ignore[index]  # it is a dict
    }
    assert line["result"] == digest_of(result_bytes(answered.json()))


def test_a_receipt_stands_in_the_answer_and_its_result_is_the_answers(
    client: TestClient, suspicious: bytes, keys: tuple[Path, Path]
) -> None:
    answered = client.post("/v1/predict", params={**ON_NODULE, "explain": "true", "nope": "1"}, content=suspicious)
    declared(answered.content)
    receipt = Receipt.read(answered.json()["receipt"])
    assert receipt.is_signed_by(VerifyingKey.read(keys[1]))
    assert receipt.text("input") == written(file_digest(suspicious))
    assert receipt.text("result") == digest_of(result_bytes(answered.json()))
    assert receipt.table("parameters") == {
        "roi": "75.0,125.0",
        "pixel_spacing_mm": "1.4,1.4",
        "window": "1024.0,4096.0",
        "explain": "true",
        "ignored": "1",
        "language": "en",
        "of": "slice",
    }
    assert receipt.table("settings") == {"operating_point": "0.5", "backend": "arithmetic"}
    again = client.post("/v1/predict", params={**ON_NODULE, "explain": "true", "nope": "1"}, content=suspicious)
    assert again.json()["receipt"]["result"] == receipt.text("result")


@pytest.mark.parametrize("kind", ["image/png", "application/dicom", "application/fhir+json", "text/html"])
def test_other_formats_have_it_in_a_header(client: TestClient, kind: str, keys: tuple[Path, Path]) -> None:
    sent = slice_file(8)
    answered = client.post("/v1/predict", content=sent, headers={"Accept": kind})
    assert answered.status_code == 200
    receipt = Receipt.read(from_header(answered.headers[RECEIPT_HEADER]))
    assert receipt.is_signed_by(VerifyingKey.read(keys[1]))
    assert receipt.text("input") == written(file_digest(sent))
    as_json = client.post("/v1/predict", content=sent)
    assert RECEIPT_HEADER not in as_json.headers
    assert receipt.text("result") == as_json.json()["receipt"]["result"]


def test_without_key_and_trail_answers_are_as_before(settings: Settings, suspicious: bytes) -> None:
    with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
        wait_until_ready(client)
        answered = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    assert "receipt" not in answered.json()
    assert next(iter(answered.json())) == "request_id"


def test_a_series_is_on_record_whatever_the_order_of_its_files(client: TestClient, audit: Path) -> None:
    files = [("files", (f"{n}.dcm", slice_file(n))) for n in range(8)]
    first = client.post("/v1/studies", files=files)
    second = client.post("/v1/studies", files=files[::-1])
    assert first.status_code == second.status_code == 200
    declared(first.content)
    one, other = about(audit, "judge_series")
    assert one["input"] == other["input"] == first.json()["receipt"]["input"]
    assert one["result"] == other["result"]
    assert first.json()["receipt"]["parameters"]["of"] == "series"
    fewer = client.post("/v1/studies", files=files[1:])
    assert fewer.json()["receipt"]["input"] != one["input"]
    lined = client.post("/v1/studies", files=files, headers={"Accept": "application/x-ndjson"})
    last = json.loads(lined.text.splitlines()[-1])
    assert Receipt.read(last["receipt"]).text("result") == one["result"]


def test_no_patient_data_on_record(client: TestClient, audit: Path) -> None:
    """Studies and accession numbers by keyed hashes alone, which the operator finds again."""
    sent = slice_file(8, AccessionNumber=ACCESSION, PatientID="PID-0815", PatientName="Doe^Jane")
    header = dcmread(BytesIO(sent), stop_before_pixels=True)
    assert client.post("/v1/predict", content=sent).status_code == 200
    text = "".join(path.read_text("utf-8") for path in audit.glob("chain-*/*"))
    uids = (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
    for forbidden in (*uids, ACCESSION, "PID-0815", "Doe", "Jane"):
        assert forbidden not in text
    (line,) = about(audit, "judge_slice")
    names = zip(("study", "series", "instance", "accession"), (*uids, ACCESSION), strict=True)
    key = load_key(audit)
    assert line["subject"] == {kind: pseudonym(key, kind, value) for kind, value in names}


def test_what_is_refused_is_counted_by_who_and_why(client: TestClient, audit: Path) -> None:
    for _ in range(3):
        assert client.post("/v1/predict", content=b"nothing").status_code == 415
    trail_of(client).tick()
    counted = about(audit, "refuse")  # one line, or more where a second ends between the requests
    assert {line["outcome"] for line in counted} == {"unsupported_media_type"}
    details: list[dict[str, object]] = [line["details"] for line in counted]  # type: ignore[misc]  # they are dicts
    assert {each["action"] for each in details} == {"/v1/predict"}
    assert sum(int(str(each["count"])) for each in details) == 3


def test_strangers_are_on_record(recorded: Settings, audit: Path) -> None:
    settings = recorded.model_copy(update={"api_token": Settings(api_token="a-token-of-some-length").api_token})
    with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
        wait_until_ready(client)
        assert client.post("/v1/predict", content=b"x").status_code == 401
        shown = {"authorization": "Bearer a-token-of-some-length"}
        assert client.post("/v1/reports", content=b"A nodule of 8 mm.", headers=shown).status_code == 200
    (refused,) = about(audit, "refuse")
    assert (refused["who"], refused["outcome"]) == ("unknown", "not_authorised")
    assert refused["address"]
    (read,) = about(audit, "read_report")
    assert (read["who"], read["input"]) == ("api-token", digest_of(b"A nodule of 8 mm."))


def test_start_and_end_say_which_code_and_models(client: TestClient, audit: Path) -> None:
    client.get("/health/live")
    (started,) = about(audit, "start")
    assert set(started["models"]) == {"nodule-classifier/1", "nodule-detector/1", "nodule-suspicion/1", "chest-view/1"}  # type: ignore[call-overload]  # it is a dict
    assert set(started["details"]) == {"version", "digest", "operating_point", "backend"}  # type: ignore[call-overload]
    client.app.state.services.records.ended()  # type: ignore[attr-defined]
    assert lines(audit)[-1]["operation"] == "stop"
    assert not [fault for report in verify(audit) for fault in report.faults]


def fail(client: TestClient) -> None:
    """Have the trail fail as a full disk makes it."""
    chain = trail_of(client)._chain
    assert chain is not None

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    chain.append = full  # type: ignore[method-assign, assignment]  # a defect, injected


def test_a_full_disk_refuses_before_and_after_judging(client: TestClient, suspicious: bytes) -> None:
    fail(client)
    after = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    before = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    for answered in (after, before, client.post("/v1/reports", content=b"A nodule."), client.get("/dicom-web/studies")):
        assert (answered.status_code, answered.json()["code"]) == (507, "audit_full")
        assert answered.headers["retry-after"] == "60"
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["reason"] == "audit cannot be written: No space left on device"
    assert client.get("/health/live").status_code == 200
    assert "lungscope_audit_writable 0.0" in client.get("/metrics").text
    assert "lungscope_audit_events_lost_total 1.0" in client.get("/metrics").text


def test_a_site_may_choose_to_go_on(recorded: Settings, suspicious: bytes) -> None:
    settings = recorded.model_copy(update={"audit_when_full": "go-on"})
    with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
        wait_until_ready(client)
        fail(client)
        assert client.post("/v1/predict", params=ON_NODULE, content=suspicious).status_code == 200
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert ready.json()["reason"] == "model ready; audit cannot be written: No space left on device"
        assert "lungscope_audit_events_lost_total 1.0" in client.get("/metrics").text


def test_anchors_are_in_the_log_at_the_end(recorded: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO),
        TestClient(create_app(recorded, backends=arithmetic_backends())) as client,
    ):
        wait_until_ready(client)
    assert [record for record in caplog.records if record.message == "audit anchor"]


def test_results_that_are_looked_for_are_on_record(client: TestClient, audit: Path) -> None:
    assert client.get("/dicom-web/studies", params={"AccessionNumber": ACCESSION}).status_code == 200
    (line,) = about(audit, "find_results")
    key = load_key(audit)
    assert line["subject"] == {"accession": pseudonym(key, "accession", ACCESSION)}
    assert line["details"] == {"found": 0}
