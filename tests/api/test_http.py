"""What holds for every path and every request: HEAD, Allow, Host, Expect, slashes at the end of a path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from app.api.middleware import record, with_headers
from app.main import create_app
from app.server.hooks import MALFORMED, AnswerMalformed
from app.settings import Settings
from app.telemetry import Metrics
from phantoms.series import slice_file
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.fakes import arithmetic_backends

CSS = "/docs/assets/swagger/swagger-ui.css"
ASKED = (
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/v1/models",
    "/v1/models/nodule-classifier",
    "/v1/models/nodule-classifier/card",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/docs/example-slice.dcm",
    CSS,
    "/dicom-web/studies",
    "/dicom-web/series",
    "/dicom-web/studies/1.2",
    "/dicom-web/studies/1.2/metadata",
    "/nothing/here",
    "/v1/models/unknown",
)
ONCE = {"date", "x-request-id"}  # differ from answer to answer
UNSTEADY = {"/metrics"}  # the first answer is counted in the second


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    """With DICOMweb."""
    given = settings.model_copy(update={"spool_dir": tmp_path / "spool"})
    app = create_app(given, backends=arithmetic_backends())
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize("path", ASKED)
def test_head_is_get_without_body(client: TestClient, path: str) -> None:
    got, asked = client.get(path), client.head(path)
    ignored = ONCE | ({"content-length"} if path in UNSTEADY else set())
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert {k: v for k, v in asked.headers.items() if k not in ignored} == {
        k: v for k, v in got.headers.items() if k not in ignored
    }
    assert ("content-length" in asked.headers) == ("content-length" in got.headers)


def test_head_is_counted_as_such(client: TestClient) -> None:
    client.head("/health/live")
    assert (
        'lungscope_requests_total{method="HEAD",route="/health/live",status="200"} 1.0' in client.get("/metrics").text
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/predict", "POST"),
        ("/v1/studies", "POST"),
        ("/dicom-web/studies", "GET, HEAD, POST"),
        ("/dicom-web/studies/1.2", "GET, HEAD, POST"),
        ("/dicom-web/series", "GET, HEAD"),
        ("/health/live", "GET, HEAD"),
        ("/v1/models/nodule-classifier", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        (CSS, "GET, HEAD"),
    ],
)
def test_refused_method_comes_with_those_of_every_route(client: TestClient, path: str, allowed: str) -> None:
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - set(allowed.split(", ")):
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed), method
        assert method == "HEAD" or response.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/docs/", "/docs"),
        ("/docs//", None),
        ("/health/live/?a=b&c=%2F", "/health/live?a=b&c=%2F"),
        ("/v1/models/nodule-classifier/", "/v1/models/nodule-classifier"),
        ("/v1/models/a%2Fb%20c/", None),
        ("/dicom-web/studies/1.2%20/", "/dicom-web/studies/1.2%20"),
        ("//evil.example/docs/", None),
        ("//", None),
        ("/nothing/", None),
        ("/docs/assets/", None),
    ],
)
def test_slash_at_the_end_leads_to_the_path_on_the_same_host(
    client: TestClient, path: str, leads_to: str | None
) -> None:
    response = client.get("http://evil" + path)
    if leads_to is None:
        assert response.status_code == 404
        return
    assert response.status_code == 307
    location = response.headers["location"]
    assert "evil" not in location
    assert not location.startswith("/")
    assert urljoin("http://a" + path, location) == "http://a" + leads_to
    assert urljoin("http://a/prefix" + path, location) == "http://a/prefix" + leads_to


Headers = list[tuple[bytes, bytes]]


def ask(client: TestClient, path: str, headers: Headers, version: str = "1.1", body: bytes = b"") -> list[Message]:
    """What is sent to a request whose headers are these and no others."""
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"roi=75,125", "headers": headers}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(client.app({**scope, "http_version": version}, receive, send))  # type: ignore[arg-type]  # typed as ASGI 2 too
    return sent


HOST = (b"host", b"x")


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/studies", "/dicom-web/studies", "/nothing"])
@pytest.mark.parametrize(
    ("headers", "version", "status", "code"),
    [
        ([], "1.1", 400, "bad_host"),
        ([HOST, HOST], "1.1", 400, "bad_host"),
        ([HOST, (b"host", b"y")], "1.0", 400, "bad_host"),
        ([(b"host", b"a b")], "1.1", 400, "bad_host"),
        ([(b"host", b"a/b")], "1.1", 400, "bad_host"),
        ([(b"host", b"a:b")], "1.1", 400, "bad_host"),
        ([(b"host", b"user@a")], "1.1", 400, "bad_host"),
        ([HOST, (b"expect", b"nonsense")], "1.1", 417, "unknown_expectation"),
        ([HOST, (b"expect", b"100-continue, more")], "1.1", 417, "unknown_expectation"),
    ],
)
def test_request_that_breaks_the_rules_of_all_is_refused(
    client: TestClient, path: str, headers: Headers, version: str, status: int, code: str
) -> None:
    start, *rest = ask(client, path, headers, version)
    assert start["status"] == status
    answered = dict(start["headers"])
    assert answered[b"content-type"] == b"application/problem+json"
    assert f'"code":"{code}"'.encode() in rest[0]["body"]
    assert b"x-request-id" in answered
    assert f'lungscope_problems_total{{code="{code}"}} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ([], "1.0"),
        ([(b"host", b"")], "1.1"),
        ([(b"host", b"ct:8000")], "1.1"),
        ([(b"host", b"[::1]:8000")], "1.1"),
        ([(b"host", b"my_service")], "1.1"),
        ([HOST, (b"expect", b"100-Continue")], "1.1"),
        ([HOST, (b"expect", b"")], "1.1"),
    ],
)
def test_request_that_keeps_the_rules_is_answered(
    client: TestClient, suspicious: bytes, headers: Headers, version: str
) -> None:
    assert ask(client, "/v1/predict", headers, version, suspicious)[0]["status"] == 200


@pytest.mark.parametrize(
    ("status", "code"), [(400, "malformed_request"), (501, "unknown_method"), (505, "unsupported_http_version")]
)
def test_server_is_told_what_to_say_to_what_is_no_request(client: TestClient, status: int, code: str) -> None:
    answer: AnswerMalformed = client.app_state[MALFORMED]
    said = answer(status)  # type: ignore[arg-type]  # an HTTPStatus is a number
    assert said.status == status
    assert f'"code":"{code}"'.encode() in said.body
    assert b"content-length: %d\r\n" % len(said.body) in said.header_lines
    metrics = client.get("/metrics").text
    assert f'lungscope_requests_total{{method="other",route="unknown",status="{status}"}} 1.0' in metrics


@pytest.mark.parametrize("path", ["/v1/models", "/docs", "/nothing", "/health/live"])
def test_answers_are_not_kept_nor_taken_for_another_type(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "no-store" not in client.get(CSS).headers.get("cache-control", ""), "files of the pages may be kept"


def test_header_of_an_answer_is_not_doubled() -> None:
    own = [(b"cache-control", b"max-age=60")]
    assert with_headers(own, (b"cache-control", b"no-store"), (b"vary", b"Accept")) == [*own, (b"vary", b"Accept")]


def test_nothing_stays_in_flight(client: TestClient) -> None:
    client.get("/v1/models")
    client.get("/nothing")
    assert "lungscope_requests_in_flight 1.0" in client.get("/metrics").text, "the one that asks"


def test_request_is_counted_by_its_template_and_logged_in_milliseconds(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    with caplog.at_level(logging.INFO, "lungscope.access"):
        record(metrics, {"method": "BREW", "path": "/secret", "headers": []}, 404, 1.5)
    (line,) = caplog.records
    assert line.fields == {"method": "other", "route": "unknown", "status": 404, "ms": 1500.0}  # type: ignore[attr-defined]  # given as extra
    told = metrics.text().decode()
    assert 'lungscope_requests_total{method="other",route="unknown",status="404"} 1.0' in told
    assert 'lungscope_request_seconds_sum{route="unknown"} 1.5' in told


PREAMBLE = b"made by a MIME library\r\n"
FORM = {"Content-Type": 'Multipart/Form-Data; Boundary="b ?="'}
RELATED = {"Content-Type": 'multipart/related; type="application/dicom"; boundary="b ?="'}


def body_of(headers: bytes, content: bytes) -> bytes:
    """One part, with all that RFC 2046 allows around it."""
    return PREAMBLE + b"--b ?= \t\r\n" + headers + b"\r\n\r\n" + content + b"\r\n--b ?=-- \r\nepilogue"


@pytest.mark.parametrize(
    "headers",
    [
        b'Content-Disposition: form-data; name="file"\r\nContent-Type: application/dicom',
        b'content-disposition:form-data;\r\n name="any"; filename="a.dcm"\r\nContent-Transfer-Encoding: binary',
        b'CONTENT-DISPOSITION: form-data; name="file"',
    ],
)
def test_form_is_read_as_its_grammar_has_it(client: TestClient, suspicious: bytes, headers: bytes) -> None:
    judged = client.post("/v1/predict", params=ON_NODULE, content=body_of(headers, suspicious), headers=FORM)
    assert (judged.status_code, judged.json()["decision"]) == (200, "cancer_suspected")
    series = client.post("/v1/studies", content=body_of(headers, slice_file(0)), headers=FORM)
    assert (series.status_code, series.json()["code"]) == (422, "too_few_slices")


def test_instances_are_read_as_their_grammar_has_it(client: TestClient) -> None:
    for headers in (b"Content-Type: application/dicom", b"content-type:\r\n\tApplication/DICOM", b"MIME-Version: 1.0"):
        stored = client.post("/dicom-web/studies", content=body_of(headers, slice_file(0)), headers=RELATED)
        assert stored.status_code == 200
    other = client.post("/dicom-web/studies", content=body_of(b"Content-Type: text/plain", b"a"), headers=RELATED)
    assert (other.status_code, other.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/studies", "/dicom-web/studies"])
def test_body_of_parts_that_is_none_is_malformed(client: TestClient, path: str) -> None:
    headers = RELATED if path.startswith("/dicom-web") else FORM
    for sent in (b"", PREAMBLE, body_of(b"no header", b"")):
        response = client.post(path, content=sent, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_form")


@pytest.mark.parametrize("name", ["Accept", "Accept-Language", "Content-Type"])
def test_header_that_is_read_with_its_parameters_is_bounded(client: TestClient, name: str) -> None:
    """The time to read one grows with the square of its quotes and semicolons."""
    path = "/v1/reports" if name == "Content-Type" else "/v1/predict"
    response = client.post(path, content=b"x", headers={name: 'text/plain;a="' + ';"' * 2500})
    assert (response.status_code, response.json()["code"]) == (431, "request_head_too_large")
    assert "4096" in response.json()["expected"]
