"""The real process: the shipped bundle on TensorFlow, behind a socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from app.api.routes.docs import EXAMPLE_SLICE
from tests.phantoms import EXAMPLE_NODULE, dicom, small
from tests.service import MODELS, PATIENCE_S, Service


def post(service: Service, path: str, body: bytes) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(service.url(path), body, {"Content-Type": "application/dicom"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_shipped_bundle_judges_the_packaged_phantom(service: Service) -> None:
    column, row = EXAMPLE_NODULE.centre_px
    status, answer = post(service, f"/v1/predict?roi={column},{row}", EXAMPLE_SLICE.read_bytes())
    assert status == 200
    assert answer["decision"] != "rejected"
    assert isinstance(answer["probability"], float)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_claims_of_size_do_not_move_the_memory(service: Service) -> None:
    post(service, "/v1/predict", EXAMPLE_SLICE.read_bytes())
    before = resident_bytes(service.process.pid)
    header = bytes(128) + b"DICM" + bytes.fromhex("02000000554c040000000000")
    claim = header + bytes.fromhex("e07f10004f570000ffffffb2") + bytes(100_000)
    png = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452") + b"\x00\x00\xff\xff" * 2 + bytes(100)
    vast = dicom(small(), Rows=65535, Columns=65535)
    for body in (claim, vast, png, bytes(100_000), b""):
        status, problem = post(service, "/v1/predict", body)
        assert 400 <= status < 500
        assert problem["code"]
    assert resident_bytes(service.process.pid) - before < 16 * 1024 * 1024


def test_announced_gigabytes_are_refused_unread(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000000\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_term_during_a_request_is_answered_and_the_process_ends_with_0() -> None:
    service = Service()
    service.wait_until_ready()
    body = EXAMPLE_SLICE.read_bytes()
    with service.connect() as connection:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        # The interim answer says that the request is being read: it is under way.
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        service.process.send_signal(signal.SIGTERM)
        while service.listens():
            assert service.process.poll() is None
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"decision"' in answer
    assert service.end() == 0


def test_flipped_byte_in_the_weights_stops_the_start_and_names_the_file(tmp_path: Path) -> None:
    shutil.copytree(MODELS, tmp_path / "models")
    (weights,) = (tmp_path / "models").glob("nodule-classifier/*/variables/variables.data*")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    service = Service(tmp_path / "models")
    _, errors = service.process.communicate(timeout=PATIENCE_S)
    assert service.process.returncode == 2
    assert weights.name in errors
