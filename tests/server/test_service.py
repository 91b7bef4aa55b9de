"""The real process: the shipped bundle on TensorFlow, behind a socket."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app.api.routes.docs import EXAMPLE_SLICE
from app.machine import own_cores
from benchmarks.serving.service import MODELS, PATIENCE_S, Service, eventually
from phantoms.series import SLICES, slice_file, zipped
from phantoms.slices import EXAMPLE_NODULE, dicom, small
from tests.servers import OURS


def post(service: Service, path: str, body: bytes) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(service.url(path), body, {"Content-Type": "application/dicom"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def in_memory(service: Service) -> bool:
    """Whether a series is held."""
    with urllib.request.urlopen(service.url("/metrics"), timeout=PATIENCE_S) as response:
        return b"lungscope_series_in_memory 0.0" not in response.read()


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


def test_series_is_judged_with_its_progress(service: Service) -> None:
    headers = {"Content-Type": "application/zip", "Accept": "application/x-ndjson"}
    body = zipped([slice_file(n) for n in range(SLICES)])
    request = urllib.request.Request(service.url("/v1/studies"), body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        *steps, last = map(json.loads, response)
    assert {step["event"] for step in steps} == {"progress"}
    assert last["event"] == "result"
    assert last["source"]["series"]["slices"] == SLICES


def posted(path: str, body: bytes, *headers: str) -> bytes:
    """A request as it is sent."""
    lines = (f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/predict", ()),
        ("/v1/predict", ("Accept: application/fhir+json", "Upgrade: h2c", "Connection: Upgrade")),
        ("/v1/studies", ()),
        ("/v1/studies", ("Accept: application/x-ndjson",)),
        ("/v1/studies", ("Upgrade: h2c", "Connection: Upgrade")),
    ],
)
@OURS  # plain uvicorn hangs up on a client that ends its side, and refuses an offer of h2c with a body
def test_caller_who_sends_nothing_more_is_answered(service: Service, path: str, headers: tuple[str, ...]) -> None:
    series = zipped([slice_file(n) for n in range(SLICES)])
    with service.connect() as connection:
        connection.sendall(posted(path, series if path == "/v1/studies" else EXAMPLE_SLICE.read_bytes(), *headers))
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_caller_who_waits_for_one_answer_and_goes_away_frees_the_room_for_a_series(service: Service) -> None:
    body = zipped([slice_file(n) for n in range(SLICES)])
    for _ in range(4):  # twice as many as there is room for
        with service.connect() as connection:
            connection.sendall(posted("/v1/studies", body))
        while in_memory(service):
            assert service.process.poll() is None
    assert post(service, "/v1/studies", body)[0] == 200


def test_caller_who_goes_away_frees_the_room_for_a_series(service: Service) -> None:
    body = zipped([slice_file(n) for n in range(SLICES)])
    for _ in range(4):  # twice as many as there is room for
        with service.connect() as connection:
            connection.sendall(posted("/v1/studies", body, "Accept: application/x-ndjson"))
            assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")
        while in_memory(service):
            assert service.process.poll() is None


def test_term_during_a_request_is_answered_and_the_process_ends_with_0(server: str) -> None:
    service = Service(environment={"LUNGSCOPE_SERVER": server})
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


@pytest.fixture
def workers() -> Iterator[Service]:
    """Two workers, both ready."""
    service = Service(workers=2)
    service.wait_until_ready()
    service.wait_until_ready()
    yield service
    service.process.terminate()
    assert service.end() == 0


def children(service: Service) -> set[int]:
    """Processes that listen on the service's behalf."""
    pid = service.process.pid
    every = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in every if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def pinned_cores(service: Service) -> list[int]:
    """The cores to which threads are pinned, worker by worker."""
    kept: list[int] = []
    for worker in children(service):
        of_worker: set[int] = set()
        for thread in Path(f"/proc/{worker}/task").iterdir():
            with suppress(ProcessLookupError):  # it has just ended
                cores = os.sched_getaffinity(int(thread.name))
                of_worker |= cores if len(cores) == 1 else set()
        kept.extend(of_worker)
    return kept


def metric(service: Service, name: str) -> float:
    """Its value; 0 for what has not been counted yet."""
    with urllib.request.urlopen(service.url("/metrics"), timeout=PATIENCE_S) as response:
        lines = [line for line in response.read().decode().splitlines() if line.startswith(name + " ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reload_replaces_every_worker_and_answers_every_request(workers: Service) -> None:
    before, body = children(workers), EXAMPLE_SLICE.read_bytes()
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n"
    with workers.connect() as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        # The interim answer says that a worker has it.
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        workers.process.send_signal(signal.SIGHUP)
        workers.wait_until_ready()  # the first replacement: now one of the old workers is told to end
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    workers.wait_until_ready()
    assert eventually(lambda: len(children(workers)) == 2 and not children(workers) & before)
    if own_cores() and not len(own_cores()) % 2:
        assert eventually(lambda: sorted(pinned_cores(workers)) == list(own_cores()))
    # The supervisor takes the gauges of the old workers away once all are replaced.
    assert eventually(lambda: metric(workers, "lungscope_ready") == 1)
    assert metric(workers, "lungscope_worker_restarts_total") == 0


def answer_on(connection: socket.socket) -> int:
    """The status of the next answer, which is read to its end."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


@pytest.mark.skipif(sys.platform != "linux", reason="asks the scheduler of Linux")
def test_workers_run_under_batch_scheduling(workers: Service) -> None:
    policies = {
        os.sched_getscheduler(int(thread.name))
        for worker in children(workers)
        for thread in Path(f"/proc/{worker}/task").iterdir()
    }
    assert policies == {os.SCHED_BATCH}


def test_upload_that_stops_coming_is_ended_with_its_connection(server: str) -> None:
    service = Service(environment={"LUNGSCOPE_SERVER": server, "LUNGSCOPE_UPLOAD_PATIENCE_SECONDS": "1"})
    service.wait_until_ready()
    body = EXAMPLE_SLICE.read_bytes()
    sent = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with service.connect() as connection:
        connection.sendall(sent[:-1])
        assert answer_on(connection) == 408
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    with service.connect() as connection:
        connection.sendall(sent)
        assert answer_on(connection) == 200
    service.process.terminate()
    assert service.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_dead_worker_is_replaced_counted_and_logged(workers: Service) -> None:
    answered = 'lungscope_requests_total{method="POST",route="/v1/predict",status="200"}'
    post(workers, "/v1/predict", EXAMPLE_SLICE.read_bytes())
    # A request is counted once its answer is sent: its worker must have had the time to.
    assert eventually(lambda: metric(workers, answered)) == 1
    before = children(workers)
    os.kill(min(before), signal.SIGKILL)
    assert any("died (-9)" in line for line in workers.log())
    workers.wait_until_ready()
    assert len(children(workers) & before) == 1
    assert metric(workers, "lungscope_worker_restarts_total") == 1
    # Counts outlive who counted.
    assert metric(workers, answered) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_dead_workers_leave_room_for_those_that_follow(workers: Service) -> None:
    for _ in range(3):  # with the first two, one more than there are places
        os.kill(min(children(workers)), signal.SIGKILL)
        for line in workers.log():
            assert "died (1)" not in line  # the one that follows
            if "model ready" in line:
                break
    assert metric(workers, "lungscope_worker_restarts_total") == 3


def test_busy_worker_hands_slices_to_an_idle_one(workers: Service) -> None:
    body = EXAMPLE_SLICE.read_bytes()

    def crowd() -> float:
        with ThreadPoolExecutor(5) as pool:  # whichever worker each comes to: now and then two come to one
            answers = list(pool.map(lambda _: post(workers, "/v1/predict", body), range(5)))
        assert [status for status, _ in answers] == [200] * 5
        return metric(workers, "lungscope_slices_handed_over_total")

    assert any(crowd() for _ in range(40))


def test_runtime_that_cannot_run_the_bundle_stops_all_workers_with_2(tmp_path: Path, server: str) -> None:
    shutil.copytree(MODELS, tmp_path / "models")
    folder = next((tmp_path / "models").glob("nodule-classifier/*"))
    (folder / "saved_model.pb").write_bytes(b"no graph")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["digests"]["saved_model.pb"] = hashlib.sha256(b"no graph").hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    service = Service(tmp_path / "models", workers=2, environment={"LUNGSCOPE_SERVER": server})
    errors = service.rest_of_log()
    assert service.process.returncode == 2
    assert str(folder) in errors


@pytest.mark.parametrize("workers", [1, 2])
def test_flipped_byte_in_the_weights_stops_the_start_and_names_the_file(
    tmp_path: Path, server: str, workers: int
) -> None:
    shutil.copytree(MODELS, tmp_path / "models")
    (weights,) = (tmp_path / "models").glob("nodule-classifier/*/variables/variables.data*")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    service = Service(tmp_path / "models", workers, environment={"LUNGSCOPE_SERVER": server})
    errors = service.rest_of_log()
    assert service.process.returncode == 2
    assert weights.name in errors
