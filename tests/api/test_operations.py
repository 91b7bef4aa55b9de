"""Health, models, metrics and docs."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from app import errors
from app.api.examples import REJECTED, SERIES, SUSPECTED
from app.api.problems import PROBLEMS
from app.api.routes import predict
from app.errors import BundleError, LungscopeError
from app.main import create_app
from app.settings import Settings
from app.telemetry import JsonFormatter
from benchmarks.serving.service import eventually
from tests.api.conftest import ON_NODULE, declared, wait_until_ready
from tests.fakes import CARD, ArithmeticBackend, arithmetic_backends, write_models


class FailingBackend(ArithmeticBackend):
    """Cannot load."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def load(self, path: Path) -> None:
        assert path.is_dir()
        raise self._error


@pytest.mark.parametrize(
    "error",
    [BundleError(found="weights", expected="other weights", remedy="none"), FileNotFoundError("no temporary folder")],
)
def test_liveness_does_not_depend_on_the_model(settings: Settings, error: Exception) -> None:
    fatal: list[Exception] = []
    app = create_app(settings, backends=arithmetic_backends(FailingBackend(error)), on_fatal=fatal.append)
    with TestClient(app) as client:
        while not fatal:
            assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        predict = client.post("/v1/predict", content=b"x")
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "reason": "model failed"})
    assert (predict.status_code, predict.json()["code"]) == (503, "model_loading")
    assert ready.headers["retry-after"] == predict.headers["retry-after"]
    assert fatal == [error]


def test_flipped_byte_stops_the_start(settings: Settings) -> None:
    file = settings.models_dir / "nodule-classifier" / "1" / "saved_model.pb"
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with pytest.raises(BundleError, match=r"saved_model\.pb"):
        create_app(settings, backends=arithmetic_backends())


def test_ready_until_told_to_stop(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "reason": "model ready"}
    client.app.state.services.registry.stop()  # type: ignore[attr-defined]  # the client types it as bare ASGI
    assert client.get("/health/ready").json() == {"status": "unavailable", "reason": "model stopping"}
    assert client.get("/health/live").status_code == 200


def test_models_say_what_they_are(client: TestClient) -> None:
    listed, searching, scoring, viewing = client.get("/v1/models").json()["models"]
    detail = client.get("/v1/models/nodule-classifier").json()
    assert listed.items() <= detail.items()
    assert detail["operating_point"]["threshold"] == detail["operating_point_in_force"] == 0.5
    assert detail["input"]["spacing_mm"] == 0.7
    assert detail["performance"]["figures"]["auc"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    detector = client.get("/v1/models/nodule-detector").json()
    assert searching.items() <= detector.items()
    assert (detector["slice_threshold"]["per"], detector["series_threshold"]["per"]) == ("slice", "series")
    second_look = client.get("/v1/models/nodule-suspicion").json()
    assert scoring.items() <= second_look.items()
    assert (second_look["slice_point"]["suspected_from"], second_look["series_point"]["scans"]) == (2.0, 3)
    assert second_look["filter_digest"] == searching["digest"]
    view = client.get("/v1/models/chest-view").json()
    assert viewing.items() <= view.items()
    assert view["rejected_below"] <= view["doubtful_below"]
    for name in ("nodule-classifier", "nodule-detector", "nodule-suspicion", "chest-view"):
        card = client.get(f"/v1/models/{name}/card")
        assert card.text == CARD
        assert card.headers["content-type"].startswith("text/markdown")
    for path in ("/v1/models/other", "/v1/models/other/card"):
        assert (client.get(path).status_code, client.get(path).json()["code"]) == (404, "unknown_model")


def test_each_model_has_its_own_card_and_the_state_of_the_service(settings: Settings, client: TestClient) -> None:
    card = settings.models_dir / "nodule-detector" / "1" / "MODEL_CARD.md"
    card.write_text("# Another card: 结节\n", "utf-8")
    assert client.get("/v1/models/nodule-detector/card").content == card.read_bytes()
    assert client.get("/v1/models/nodule-classifier/card").text == CARD
    client.app.state.services.registry.stop()  # type: ignore[attr-defined]  # the client types it as bare ASGI
    assert [model["status"] for model in client.get("/v1/models").json()["models"]] == ["stopping"] * 4


def test_metrics_count_what_happened(client: TestClient, suspicious: bytes) -> None:
    client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    client.post("/v1/predict", content=b"")
    client.get("/no/such/path")
    text = client.get("/metrics").text
    for line in (
        'lungscope_decisions_total{decision="cancer_suspected"} 1.0',
        'lungscope_problems_total{code="empty_body"} 1.0',
        'lungscope_requests_total{method="POST",route="/v1/predict",status="200"} 1.0',
        'lungscope_requests_total{method="GET",route="unknown",status="404"} 1.0',
        "lungscope_ready 1.0",
        'lungscope_stage_seconds_count{stage="infer"} 1.0',
    ):
        assert line in text


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    missing, wrong = client.get("/no/such/path"), client.delete("/v1/predict")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == wrong.json()["expected"] == "POST"
    for problem in (missing.json(), wrong.json()):
        assert problem["detail"] == f"Found {problem['found']}; expected {problem['expected']}. {problem['remedy']}"
    assert missing.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"


def test_docs_need_nothing_from_elsewhere(client: TestClient) -> None:
    for page in ("/docs", "/redoc"):
        text = client.get(page).text
        assert "https://" not in text
        assert "http://" not in text
    assert client.get("/docs/assets/swagger/swagger-ui-bundle.js").status_code == 200
    assert client.get("/docs/example-slice.dcm").content[128:132] == b"DICM"


def test_every_operation_is_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    validate(document)
    assert "HTTPValidationError" not in json.dumps(document)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            moving = path.endswith(("/load", "/unload", "/rollback", "/labels/{label}"))
            unfit = path.startswith(("/v1/predict", "/v1/studies", "/v1/comparisons")) or path.endswith("/infer")
            assert "422" not in operation["responses"] or unfit or moving, path
            assert ("unfit_version" in json.dumps(operation)) == (moving and "422" in operation["responses"]), path
            for status, response in operation["responses"].items():
                for kind, content in response["content"].items():
                    done = status in ("200", "202")
                    assert "example" in content or "examples" in content or status == "200", (path, status)
                    of_its_own = path.startswith(("/health", "/v2/health", "/dicom-web")) or path.endswith("/ready")
                    assert kind == "application/problem+json" or done or of_its_own
    predict = document["paths"]["/v1/predict"]["post"]
    assert {"200", "400", "413", "415", "422", "500", "503"} <= set(predict["responses"])
    parameters = {each["name"] for each in predict["parameters"] if each["in"] == "query"}
    assert parameters == {"roi", "pixel_spacing_mm", "window", "frame", "explain", "guidelines", "pdf"}
    studies = document["paths"]["/v1/studies"]["post"]
    assert {"200", "400", "408", "413", "415", "422", "500", "503"} <= set(studies["responses"])
    assert {"application/json", "application/x-ndjson"} <= set(studies["responses"]["200"]["content"])
    files = studies["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["files"]
    assert (files["type"], files["items"]["format"]) == ("array", "binary")


def test_the_contract_is_written_before_anybody_asks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.main.CONTRACT_AFTER_S", 0.0)
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app):
        assert eventually(lambda: hasattr(app.state, "contract"))


def test_an_application_that_ends_before_writes_no_contract_and_builds_no_route_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.CONTRACT_AFTER_S", 3600.0)
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app) as client:
        wait_until_ready(client)
    assert not hasattr(app.state, "contract")
    assert predict.ROUTE in app.router.routes


def test_examples_on_the_docs_page_are_true() -> None:
    for example in (SUSPECTED, REJECTED, SERIES):
        declared(json.dumps(example).encode())


def test_every_error_has_a_place_in_the_table() -> None:
    def leaves(kind: type[LungscopeError]) -> set[type[LungscopeError]]:
        below = [k for k in kind.__subclasses__() if k.__module__.startswith(errors.__name__)]
        return {kind} if not below else set().union(*map(leaves, below))

    nobody_waits = leaves(errors.StartupError) | leaves(errors.LeftOutByRules)  # those: of what was spooled
    wire = leaves(errors.LungscopeError) - nobody_waits
    assert wire == set(PROBLEMS)
    assert len({kind.code for kind in PROBLEMS.values()}) == len(PROBLEMS)


def test_token_guards_v1_and_nothing_else(tmp_path: Path) -> None:
    write_models(tmp_path)
    settings = Settings(models_dir=tmp_path, api_token="a-token-of-some-length")
    with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic a-token-of-some-length"}):
            response = client.get("/v1/models", headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "not_authorised")
            assert response.headers["www-authenticate"].startswith("Bearer")
        shown = {"authorization": "Bearer a-token-of-some-length"}
        assert client.get("/v1/models", headers=shown).status_code == 200
        assert client.get("/health/live").status_code == 200
        guarded = client.get("/openapi.json").json()["paths"]
    assert guarded["/v1/models"]["get"]["security"]
    assert "401" in guarded["/v1/models"]["get"]["responses"]
    assert "security" not in guarded["/health/live"]["get"]


def test_no_token_no_mention_of_one(client: TestClient) -> None:
    document = client.get("/openapi.json").text
    assert "security" not in document
    assert '"401"' not in document


def test_logs_have_the_request_id_and_nothing_that_was_sent(
    client: TestClient, backend: ArithmeticBackend, suspicious: bytes
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("Doe^Jane")

    backend.run = fail  # type: ignore[method-assign, assignment]  # a defect, injected
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    ours = [logging.getLogger(name) for name in ("app", "lungscope")]
    try:
        for logger in ours:
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)
        files = {"file": ("Doe^Jane.png", suspicious)}
        request_id = client.post("/v1/predict", files=files, data=ON_NODULE).headers["x-request-id"]
        client.get("/v1/models/Doe^Jane")
    finally:
        for logger in ours:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "Jane" not in stream.getvalue()
    (bug,) = [entry for entry in map(json.loads, lines) if entry["level"] == "error"]
    assert bug["request_id"] == request_id
    assert bug["exception"] == "RuntimeError"
    assert any("fail" in place for place in bug["raised_at"])


def test_settings_reject_what_is_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN", "short")
    with pytest.raises(errors.SettingsError, match="LUNGSCOPE_API_TOKEN") as caught:
        Settings.load()
    assert "short'" not in str(caught.value)
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN", "x" * 32)
    monkeypatch.setenv("LUNGSCOPE_THREADS", "many")
    with pytest.raises(errors.SettingsError, match="LUNGSCOPE_THREADS"):
        Settings.load()
    monkeypatch.setenv("LUNGSCOPE_THREADS", "3")
    assert Settings.load().threads == 3


def test_only_http_is_wrapped(settings: Settings) -> None:
    app = create_app(settings, backends=arithmetic_backends())

    async def lifespan() -> list[str]:
        sent: list[str] = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, str]:
            return next(messages)

        async def send(message: dict[str, str]) -> None:
            sent.append(message["type"])

        await app({"type": "lifespan", "state": {}, "app": app}, receive, send)  # type: ignore[arg-type]  # plain dictionaries
        return sent

    assert asyncio.run(lifespan()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_operating_point_of_the_site_is_in_force_and_said(
    settings: Settings, suspicious: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    strict = settings.model_copy(update={"operating_point": 0.8})
    app = create_app(strict, backends=arithmetic_backends())
    with caplog.at_level(logging.INFO, "app.main"), TestClient(app) as client:
        wait_until_ready(client)
        answer = client.post("/v1/predict", params=ON_NODULE, content=suspicious).json()
        detail = client.get("/v1/models/nodule-classifier").json()
    assert answer["probability"] == pytest.approx(0.7, abs=0.001)
    assert answer["operating_point"] == 0.8
    # The set still holds cancer_suspected alone: it does not move, so the two disagree.
    assert (answer["decision"], answer["prediction_set"]) == ("indeterminate", ["cancer_suspected"])
    assert (detail["operating_point"]["threshold"], detail["operating_point_in_force"]) == (0.5, 0.8)
    assert "operating point 0.8000, set by LUNGSCOPE_OPERATING_POINT" in caplog.text


@pytest.mark.parametrize("value", ["0", "1", "-0.1", "1.5", "nan", "half", ""])
def test_operating_point_is_a_probability_that_can_be_reached(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LUNGSCOPE_OPERATING_POINT", value)
    with pytest.raises(errors.SettingsError, match="LUNGSCOPE_OPERATING_POINT"):
        Settings.load()


def test_slow_upload_is_ended(settings: Settings) -> None:
    impatient = settings.model_copy(update={"upload_patience_seconds": 0.01})
    app = create_app(impatient, backends=arithmetic_backends())
    with TestClient(app) as client:
        wait_until_ready(client)
        for path in ("/v1/predict", "/v1/studies"):
            assert asyncio.run(_stalled(app, path)) == (408, "upload_too_slow")
        assert len(client.app.state.services.lane) == 0  # type: ignore[attr-defined]  # typed as bare ASGI


async def _stalled(app: FastAPI, path: str) -> tuple[int, str]:
    """Status and code of the answer to a body that never ends."""
    sent: list[dict[str, Any]] = []
    pieces = iter([{"type": "http.request", "body": b"DI", "more_body": True}])

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()
        return piece or {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
    }
    scope |= {
        "raw_path": path.encode(),
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"x")],
        "client": None,
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # plain dictionaries
    return sent[0]["status"], json.loads(sent[1]["body"])["code"]
