"""POST /v1/predict, through HTTP."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.types import Message

from app.main import create_app
from app.server.hooks import EARLY_ANSWER, AnswerEarly, EarlyAnswer
from app.settings import Settings
from tests.api.conftest import ON_NODULE, STATED, declared, png, wait_until_ready
from tests.fakes import ArithmeticBackend, arithmetic_backends
from tests.inference.slices import chest


def code(response: object) -> str:
    return str(response.json()["code"])  # type: ignore[attr-defined]  # httpx and its test double share no base


def test_form_and_raw_body_give_the_same_answer(client: TestClient, suspicious: bytes) -> None:
    form = client.post("/v1/predict", files={"file": suspicious}, data=ON_NODULE)
    raw = client.post("/v1/predict", params=ON_NODULE, content=suspicious, headers={"content-type": "image/png"})
    mixed = client.post("/v1/predict", params={"roi": "75,125"}, files={"anything": suspicious}, data=STATED)
    assert form.status_code == raw.status_code == mixed.status_code == 200
    parts = ("decision", "probability", "findings", "quality", "source")
    assert all(form.json()[part] == raw.json()[part] == mixed.json()[part] for part in parts)


@pytest.mark.parametrize(
    ("parameters", "decision"),
    [
        pytest.param(ON_NODULE | {"explain": "true"}, "cancer_suspected", id="with evidence"),
        pytest.param(STATED, "cancer_suspected", id="searched"),
        pytest.param(STATED | {"explain": "true"}, "cancer_suspected", id="searched, with evidence"),
        pytest.param(STATED | {"roi": "2,2"}, "rejected", id="rejected"),
        pytest.param(ON_NODULE | {"unknown": "1"}, "cancer_suspected", id="with a remark"),
    ],
)
def test_every_answer_is_of_the_declared_types(
    client: TestClient, suspicious: bytes, parameters: dict[str, str], decision: str
) -> None:
    response = client.post("/v1/predict", params=parameters, content=suspicious)
    assert declared(response.content)["decision"] == decision


def test_answer_holds_what_the_design_promises(client: TestClient, suspicious: bytes) -> None:
    response = client.post("/v1/predict", files={"file": suspicious}, data=ON_NODULE)
    body = response.json()
    declared(response.content)
    assert body["decision"] == "cancer_suspected"
    assert body["display"] == "Suspicious for lung cancer"
    assert body["probability"] == pytest.approx(0.7, abs=0.001)
    assert body["prediction_set"] == ["cancer_suspected"]
    (finding,) = body["findings"]
    assert finding["center_px"] == [75.0, 125.0]
    assert finding["center_mm"] is None
    assert finding["diameter_mm"] == pytest.approx(20, abs=1.5)
    assert finding["traits"]["spiculation"] == {"value": 1.0, "scale": [1, 5], "display": "none"}
    assert "evidence" not in finding, "only with explain=true"
    assert body["model"]["digest"] == client.get("/v1/models").json()["models"][0]["digest"]
    assert body["source"] == {
        "kind": "png", "rows": 256, "columns": 256, "frame": None, "pixel_spacing_mm": [1.4, 1.4]
    }  # fmt: skip
    assert set(body["timing_ms"]) == {"decode", "search", "infer", "total"}
    assert body["disclaimer"] == "Research use only. Not a medical device."
    assert body["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("accept", "display", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.5", "肺癌(疑似)", "zh"),
        ("en;q=0.5, zh;q=0.8", "肺癌(疑似)", "zh"),
        ("fr, en;q=0.1", "Suspicious for lung cancer", "en"),
        ("zh;q=0", "Suspicious for lung cancer", "en"),
        ("zh, en", "肺癌(疑似)", "zh"),
        ("en, zh", "Suspicious for lung cancer", "en"),
        ("ZH-hant", "肺癌(疑似)", "zh"),
        ("zh;q=nonsense", "Suspicious for lung cancer", "en"),
        ("*", "Suspicious for lung cancer", "en"),
    ],
)
def test_display_follows_the_language_and_codes_do_not(
    client: TestClient, suspicious: bytes, accept: str, display: str, language: str
) -> None:
    headers = {"accept-language": accept}
    response = client.post("/v1/predict", files={"file": suspicious}, data=ON_NODULE, headers=headers)
    assert response.json()["display"] == display
    assert response.json()["decision"] == "cancer_suspected"
    assert response.headers["content-language"] == language


def test_explain_adds_the_evidence_and_where_it_lies(client: TestClient, suspicious: bytes) -> None:
    data = {**ON_NODULE, "explain": "true"}
    evidence = client.post("/v1/predict", files={"file": suspicious}, data=data).json()["findings"][0]["evidence"]
    assert evidence["shape"] == [6, 6]
    assert np.array(evidence["values"]).shape == (6, 6)
    left, top, right, bottom = evidence["rectangle_px"]
    assert (left + right) / 2 == pytest.approx(75)
    assert (bottom - top) * 1.4 == pytest.approx(48 * 0.7)


def test_what_had_to_be_assumed_is_said(client: TestClient, suspicious: bytes) -> None:
    body = client.post("/v1/predict", files={"file": suspicious}, data={"colour": "blue"}).json()
    found = {note["code"] for note in body["quality"]}
    assert {"spacing_assumed", "window_assumed", "parameter_ignored"} <= found


def test_slice_without_roi_is_searched(client: TestClient, suspicious: bytes) -> None:
    body = client.post("/v1/predict", files={"file": suspicious}, data=STATED).json()
    assert any(np.hypot(f["center_px"][0] - 75, f["center_px"][1] - 125) < 3 for f in body["findings"])
    assert {"nodules_may_be_missed", "study_level_not_validated"} <= {note["code"] for note in body["quality"]}


def test_slice_without_lung_is_a_rejection_not_an_error(client: TestClient) -> None:
    response = client.post("/v1/predict", files={"file": png(chest(lungs=False).hu)}, data=STATED)
    assert response.status_code == 200
    body = response.json()
    assert (body["decision"], body["probability"], body["reasons"]) == ("rejected", None, ["no_lung"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"roi": "75"},
        {"roi": "75;125"},
        {"roi": "nan,1"},
        {"roi": "1e999,1"},
        {"roi": "1," + "1" * 200},
        {"pixel_spacing_mm": "0"},
        {"pixel_spacing_mm": "0.7,0.7,0.7"},
        {"pixel_spacing_mm": "seven"},
        {"window": "40"},
        {"window": "40,0"},
        {"frame": "0"},
        {"frame": "1.5"},
        {"frame": "²"},
        {"explain": "perhaps"},
    ],
)
def test_unusable_parameter_is_named(client: TestClient, suspicious: bytes, parameters: dict[str, str]) -> None:
    response = client.post("/v1/predict", files={"file": suspicious}, data=parameters)
    assert (response.status_code, code(response)) == (400, "invalid_parameter")
    assert next(iter(parameters)) in response.json()["detail"]


def test_empty_parameter_is_none(client: TestClient, suspicious: bytes) -> None:
    empty = dict.fromkeys(("roi", "pixel_spacing_mm", "window", "frame", "explain"), "")
    assert client.post("/v1/predict", files={"file": suspicious}, data=empty).status_code == 200


def test_parameter_given_twice_is_refused(client: TestClient, suspicious: bytes) -> None:
    twice = client.post("/v1/predict?roi=1,1&roi=2,2", content=suspicious)
    differing = client.post("/v1/predict?roi=1,1", files={"file": suspicious}, data={"roi": "75,125"})
    assert [code(twice), code(differing)] == ["invalid_parameter"] * 2
    same = client.post("/v1/predict?roi=75,125", files={"file": suspicious}, data=ON_NODULE)
    assert same.status_code == 200


def test_roi_outside_the_image_says_where_the_image_is(client: TestClient, suspicious: bytes) -> None:
    response = client.post("/v1/predict", params={**STATED, "roi": "256,10"}, content=suspicious)
    assert (response.status_code, code(response)) == (422, "roi_outside_image")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["found"] == "roi 256,10"
    assert response.json()["expected"] == "column 0 to 255, row 0 to 255"
    assert response.json()["remedy"].startswith("Give roi as column,row")
    assert response.json()["status"] == 422
    assert response.json()["instance"] == f"urn:uuid:{response.headers['x-request-id']}"


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"", 400, "empty_body"),
        (bytes(100_000), 415, "unsupported_media_type"),
        (b'{"image": 1}', 415, "unsupported_media_type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), 400, "malformed_picture"),
        (bytes(128) + b"DICM" + b"\xff" * 100, 400, "malformed_dicom"),
        (b"\x08\x00\x05\x00CS\n\x00ISO_IR 100", 400, "malformed_dicom"),
    ],
)
def test_bodies_that_are_no_image(client: TestClient, body: bytes, status: int, problem: str) -> None:
    raw = client.post("/v1/predict", content=body)
    form = client.post("/v1/predict", files={"file": body})
    assert (raw.status_code, code(raw)) == (status, problem)
    assert (form.status_code, code(form)) == (status, problem)


def test_colour_picture(client: TestClient) -> None:
    _, encoded = cv2.imencode(".png", np.dstack([np.full((64, 64), v, np.uint8) for v in (0, 100, 200)]))
    response = client.post("/v1/predict", content=encoded.tobytes())
    assert (response.status_code, code(response)) == (422, "unsupported_pixel_format")


def test_form_needs_one_file(client: TestClient, suspicious: bytes) -> None:
    none = client.post("/v1/predict", files={"roi": (None, "75,125")})
    two = client.post("/v1/predict", files=[("file", suspicious), ("file", suspicious)])
    three = client.post("/v1/predict", files=[("file", suspicious)] * 3)
    assert [code(none), code(two), code(three)] == ["one_file_expected"] * 3
    assert [response.status_code for response in (none, two, three)] == [400] * 3


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"no boundary here"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nnameless\r\n--x--"),
    ],
)
def test_malformed_forms(client: TestClient, content_type: str, body: bytes) -> None:
    response = client.post("/v1/predict", content=body, headers={"content-type": content_type})
    assert response.status_code == 400
    assert code(response) in ("malformed_form", "one_file_expected")


def test_a_field_that_is_too_long_is_refused_for_its_length(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="roi"\r\n\r\n' + b"1" * 5000
    response = client.post("/v1/predict", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert (response.status_code, response.json()["code"]) == (413, "form_too_large")


def test_body_beyond_the_limit_is_refused_announced_or_not(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(50_000)

    announced = client.post("/v1/predict", content=bytes(2_000_000))
    chunked = client.post("/v1/predict", content=chunks())
    form = client.post("/v1/predict", files={"file": bytes(2_000_000)})
    for response in (announced, chunked, form):
        assert (response.status_code, code(response)) == (413, "input_too_large")


def test_request_id_is_the_callers_if_it_is_a_uuid(client: TestClient, suspicious: bytes) -> None:
    given = str(uuid.uuid4())
    accepted = client.post("/v1/predict", content=suspicious, headers={"x-request-id": given})
    replaced = client.post("/v1/predict", content=suspicious, headers={"x-request-id": "Doe^Jane"})
    assert accepted.json()["request_id"] == given
    assert uuid.UUID(replaced.json()["request_id"]).version == 4


@contextmanager
def filled(client: TestClient, backend: ArithmeticBackend, suspicious: bytes) -> Iterator[None]:
    """The service's only place is taken within the block, by a request that is answered after it."""
    answers: list[int] = []
    first = threading.Thread(
        target=lambda: answers.append(client.post("/v1/predict", params=ON_NODULE, content=suspicious).status_code)
    )
    backend.hold()
    first.start()
    assert backend.started.wait(timeout=30)
    try:
        yield
    finally:
        backend.release()
        first.join()
    assert answers == [200]


def test_full_queue_answers_503_at_once(client: TestClient, backend: ArithmeticBackend, suspicious: bytes) -> None:
    with filled(client, backend, suspicious):
        second = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    assert (second.status_code, code(second)) == (503, "overloaded")
    assert int(second.headers["retry-after"]) > 0


def early_answer(
    client: TestClient, *headers: tuple[bytes, bytes], method: str = "POST", path: str = "/v1/predict"
) -> EarlyAnswer | None:
    """What the server would be told to answer on the headers alone."""
    refuse: AnswerEarly = client.app_state[EARLY_ANSWER]
    return refuse({"type": "http", "method": method, "path": path, "headers": list(headers)}, 500_000)


def test_full_service_says_the_same_on_the_headers_alone(
    client: TestClient, backend: ArithmeticBackend, suspicious: bytes
) -> None:
    given = str(uuid.uuid4())
    with filled(client, backend, suspicious):
        said = client.post("/v1/predict", content=suspicious, headers={"x-request-id": given})
        early = early_answer(client, (b"x-request-id", given.encode()))
    assert early is not None
    assert (early.status, early.body) == (503, said.content)
    lines = early.header_lines.decode().removesuffix("\r\n").split("\r\n")
    assert dict(line.split(": ", 1) for line in lines) == dict(said.headers)
    metrics = client.get("/metrics").text
    assert 'lungscope_requests_total{method="POST",route="/v1/predict",status="503"} 2.0' in metrics
    assert 'lungscope_problems_total{code="overloaded"} 2.0' in metrics


def test_nothing_else_is_refused_on_its_headers(
    client: TestClient, backend: ArithmeticBackend, suspicious: bytes
) -> None:
    with filled(client, backend, suspicious):
        assert early_answer(client, path="/v1/studies") is None
        assert early_answer(client, method="PUT") is None


def test_service_with_room_refuses_nothing_on_its_headers(client: TestClient) -> None:
    assert early_answer(client) is None


@pytest.mark.parametrize(("accept", "status"), [(b"application/json", 200), (b"audio/mpeg", 406)])
def test_of_many_requests_that_come_at_once_those_are_let_in_that_have_room(
    client: TestClient, suspicious: bytes, accept: bytes, status: int
) -> None:
    """Here there is room for one, which is received and judged, or not; then for the next."""
    headers = [(b"accept", accept)]
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"roi=32,32", "headers": headers}
    refuse: AnswerEarly = client.app_state[EARLY_ANSWER]
    assert refuse(scope, len(suspicious)) is None
    assert early_answer(client) is not None
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": suspicious}

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        await client.app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == status
    assert early_answer(client) is None


@contextmanager
def guarded_by(token: str, settings: Settings, backend: ArithmeticBackend) -> Iterator[TestClient]:
    """The service, which asks for a token, and who shows it."""
    guarded = settings.model_copy(update={"api_token": SecretStr(token)})
    app = create_app(guarded, backends=arithmetic_backends(backend))
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize(
    ("shown", "status"),
    [("Bearer 0123456789abcdef", 200), ("Bearer another", 401), ("0123456789abcdef", 401), ("", 401)],
)
def test_slices_are_judged_for_those_who_may_call(
    settings: Settings, backend: ArithmeticBackend, suspicious: bytes, shown: str, status: int
) -> None:
    with guarded_by("0123456789abcdef", settings, backend) as client:
        headers = {"Authorization": shown}
        response = client.post("/v1/predict", params=ON_NODULE, content=suspicious, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("shown", "refused"), [(b"Bearer 0123456789abcdef", True), (b"Bearer another", False), (b"", False)]
)
def test_who_may_not_call_is_not_told_that_there_is_no_room(
    settings: Settings, backend: ArithmeticBackend, suspicious: bytes, shown: bytes, refused: bool
) -> None:
    with guarded_by("0123456789abcdef", settings, backend) as client, filled(client, backend, suspicious):
        assert (early_answer(client, (b"authorization", shown)) is not None) == refused


def test_who_may_not_call_takes_no_place(settings: Settings, backend: ArithmeticBackend) -> None:
    with guarded_by("0123456789abcdef", settings, backend) as client:
        assert early_answer(client, (b"authorization", b"Bearer another")) is None
        assert early_answer(client, (b"authorization", b"Bearer 0123456789abcdef")) is None
        assert early_answer(client, (b"authorization", b"Bearer 0123456789abcdef")) is not None


def test_bug_is_a_500_that_tells_nothing(client: TestClient, backend: ArithmeticBackend, suspicious: bytes) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("Doe^Jane")

    backend.run = fail  # type: ignore[method-assign, assignment]  # a defect, injected
    response = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert "Jane" not in response.text
