"""Plain uvicorn in place of the shipped server: the same answers."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.routes.docs import EXAMPLE_SLICE
from benchmarks.serving.service import MODELS, PATIENCE_S, Service, eventually, free_port
from phantoms.series import SLICES, slice_file, zipped

SLICE = EXAMPLE_SLICE.read_bytes()
SERIES = zipped([slice_file(n) for n in range(SLICES)])
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n' + SLICE + b"\r\n--b--\r\n"
ID = "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11"
IN_FORM = {"Content-Type": "multipart/form-data; boundary=b"}
REQUESTS: tuple[tuple[str, str, bytes | None, dict[str, str]], ...] = (
    ("POST", "/v1/predict?roi=148,240", SLICE, {}),
    ("POST", "/v1/predict", SLICE, {"Accept-Language": "zh"}),
    ("POST", "/v1/predict?roi=148,240&explain=true", FORM, IN_FORM),
    ("POST", "/v1/predict?roi=148,240", SLICE, {"Accept": "image/png"}),
    ("POST", "/v1/predict?roi=9,9,9", SLICE, {}),
    ("POST", "/v1/predict", b"", {}),
    ("POST", "/v1/predict", b"neither", {"Accept": "audio/ogg"}),
    ("POST", "/v1/studies", SERIES, {"Content-Type": "application/zip"}),
    ("GET", "/v1/models", None, {}),
    ("GET", "/v1/models/nodule-classifier/card", None, {}),
    ("GET", "/openapi.json", None, {}),
    ("GET", "/health/ready", None, {}),
    ("GET", "/nowhere", None, {}),
    ("DELETE", "/v1/predict", None, {}),
)
Answer = tuple[int, dict[str, str], Any]


def ask(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    """Status, headers and content of an answer, but for its times."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {"X-Request-ID": ID, **headers})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    said = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
    if "json" not in said.get("content-type", ""):
        return response.status, said, content
    written = json.loads(content)
    if "timing_ms" in written:
        said.pop("content-length")  # the times have more or fewer digits
        written["timing_ms"] = sorted(written["timing_ms"])
    return response.status, said, written


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[int, int]]:
    """The ports of the shipped server and of plain uvicorn."""
    services = [Service(environment={"LUNGSCOPE_SERVER": server}) for server in ("lungscope", "stock")]
    for each in services:
        each.wait_until_ready()
    yield services[0].port, services[1].port
    for each in services:
        each.process.terminate()
        assert each.end() == 0


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda asked: f"{asked[0]} {asked[1]}")
def test_answers_are_those_of_the_shipped_server(
    both: tuple[int, int], asked: tuple[str, str, bytes | None, dict[str, str]]
) -> None:
    ours, stock = (ask(port, *asked) for port in both)
    assert stock == ours


POST = b"POST /v1/predict?roi=148,240 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(SLICE)
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
CLOSE = b"Connection: close\r\n"
OURS, STOCK = 0, 1


def answer_to(port: int, sent: bytes, *, ends: bool) -> bytes:
    """All that comes; the client may end its side of the connection once all is sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("which", "sent", "ends", "beginning", "part"),
    [
        pytest.param(OURS, POST + H2C + b"\r\n" + SLICE, True, b"HTTP/1.1 200 ", b"json", id="h2c, ours"),
        pytest.param(STOCK, POST + H2C + b"\r\n" + SLICE, False, b"HTTP/1.1 400 ", b"no bytes", id="h2c, plain"),
        pytest.param(OURS, POST + CLOSE + b"\r\n" + SLICE, True, b"HTTP/1.1 200 ", b"json", id="half-close, ours"),
        pytest.param(STOCK, POST + CLOSE + b"\r\n" + SLICE, True, b"", b"", id="half-close, plain"),
        pytest.param(
            OURS, b"none\r\n\r\n", False, b"HTTP/1.1 400 ", b"application/problem+json", id="no request, ours"
        ),
        pytest.param(STOCK, b"none\r\n\r\n", False, b"HTTP/1.1 400 ", b"text/plain", id="no request, plain"),
    ],
)
def test_answers_differ_where_the_documentation_says_so(
    both: tuple[int, int], which: int, sent: bytes, ends: bool, beginning: bytes, part: bytes
) -> None:
    """docs/serving.md, "What plain uvicorn cannot do"."""
    answer = answer_to(both[which], sent, ends=ends)
    assert answer.startswith(beginning)
    assert part in answer
    assert bool(answer) == bool(beginning)


def test_uvicorn_serves_the_factory_without_arguments() -> None:
    port = free_port()
    command = ["env", f"LUNGSCOPE_MODELS_DIR={MODELS}", sys.executable, "-m", "uvicorn", "--factory"]
    process = subprocess.Popen([*command, "app.main:create_app", "--port", str(port), "--log-level", "warning"])

    def ready() -> bool:
        try:
            return ask(port, "GET", "/health/ready", None, {})[0] == 200
        except OSError:
            return False

    try:
        assert eventually(ready)
        assert ask(port, "POST", "/v1/predict?roi=148,240", SLICE, {})[0] == 200
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_several_stock_workers_share_their_counts() -> None:
    service = Service(workers=2, environment={"LUNGSCOPE_SERVER": "stock"})
    service.wait_until_ready()
    try:
        for _ in range(8):
            assert eventually(lambda: ask(service.port, "POST", "/v1/predict?roi=148,240", SLICE, {})[0] == 200)
        assert (
            b'lungscope_decisions_total{decision="cancer_suspected"} 8.0'
            in ask(service.port, "GET", "/metrics", None, {})[2]
        )
    finally:
        service.process.terminate()
        assert service.end() == 0
