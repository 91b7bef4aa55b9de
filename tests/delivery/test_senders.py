"""The real service with two workers on one spool: many senders at once, odd places for it, a store that is damaged."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from benchmarks.serving.service import PATIENCE_S, Service
from phantoms.slices import example_slice

SENDERS, REQUESTS = 6, 20
HEADERS: Final = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}


def sent(service: Service, body: bytes) -> Counter[int]:
    """The statuses of requests on one lasting connection."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
    statuses: Counter[int] = Counter()
    for _ in range(REQUESTS):
        connection.request("POST", "/dicom-web/studies", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
    connection.close()
    return statuses


def test_six_senders_of_one_series_to_two_workers_are_all_stored_on_a_store_that_was_damaged(
    tmp_path: Path, server: str
) -> None:
    (tmp_path / "results.sqlite3").write_bytes(b"garbage" * 5000)
    settings = {"LUNGSCOPE_SPOOL_DIR": str(tmp_path), "LUNGSCOPE_QUIET_SECONDS": "0", "LUNGSCOPE_SERVER": server}
    service = Service(workers=2, environment=settings)
    service.wait_until_ready()
    service.wait_until_ready()
    assert len(list(tmp_path.glob("results.sqlite3.damaged-*"))) == 1
    body = example_slice()
    with ThreadPoolExecutor(SENDERS) as pool:
        each = list(pool.map(lambda _: sent(service, body), range(SENDERS)))
    assert sum(each, Counter()) == {200: SENDERS * REQUESTS}
    service.process.terminate()
    assert service.end() == 0


def a_file(path: Path) -> None:
    path.touch()


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("put", [a_file, a_link_to_itself])
def test_a_place_that_cannot_be_used_ends_the_start_with_2_and_one_message(
    tmp_path: Path, put: Callable[[Path], None], server: str, workers: int
) -> None:
    put(tmp_path / "state")
    settings = {"LUNGSCOPE_SPOOL_DIR": str(tmp_path / "state"), "LUNGSCOPE_SERVER": server}
    service = Service(workers=workers, environment=settings)
    try:
        errors = service.rest_of_log()
    except subprocess.TimeoutExpired:
        service.process.kill()
        raise
    assert service.process.returncode == 2
    assert errors.count("LUNGSCOPE_SPOOL_DIR") == 1
    assert "Traceback" not in errors
