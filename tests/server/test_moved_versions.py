"""Versions moved on the shipped service: every worker follows, one that is replaced too, and so does the next start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from app.api.routes.docs import EXAMPLE_SLICE
from benchmarks.reloads import CLASSIFIER, KEY, TOKEN, with_copy
from benchmarks.serving.service import PATIENCE_S, Service, eventually
from tests.server.test_service import children

MODEL = f"/v1/models/{CLASSIFIER}"
IN_A_ROW = 8  # connections: that all of them reach one of two workers is unlikely


@contextmanager
def served(models: Path, first: int, folder: Path, workers: int) -> Iterator[Service]:
    environment = {
        "LUNGSCOPE_MODEL": f"{CLASSIFIER}/{first}",
        "LUNGSCOPE_VERSIONS_DIR": str(folder),
        "LUNGSCOPE_API_TOKEN": TOKEN,
    }
    service = Service(models, workers, environment=environment)
    try:
        for _ in range(workers):
            service.wait_until_ready()
        yield service
    finally:
        service.process.terminate()
        assert service.end() == 0


def ask(service: Service, method: str, path: str) -> Any:
    answer = urllib3.request(method, service.url(path), headers=KEY, retries=False, timeout=PATIENCE_S)
    assert answer.status == 200, answer.data
    return answer.json()


def judged_by(service: Service) -> str:
    url = service.url("/v1/predict?roi=148,240")
    headers = {**KEY, "Connection": "close"}
    answer = urllib3.request("POST", url, body=EXAMPLE_SLICE.read_bytes(), headers=headers, timeout=PATIENCE_S)
    assert answer.status == 200, answer.data
    version: str = answer.json()["model"]["version"]
    return version


def all_judged_by(service: Service) -> set[str]:
    return {judged_by(service) for _ in range(IN_A_ROW)}


@pytest.mark.usefixtures("temporary")
def test_workers_replacements_and_the_next_start_follow(tmp_path: Path) -> None:
    models, first, other = with_copy(tmp_path)
    folder = tmp_path / "versions"
    with served(models, first, folder, workers=2) as service:
        assert all_judged_by(service) == {str(first)}
        ask(service, "POST", f"{MODEL}/versions/{other}/load")
        ask(service, "PUT", f"{MODEL}/labels/stable?version={other}")
        eventually(lambda: all_judged_by(service) == {str(other)})
        killed = min(children(service))
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: killed not in children(service) and len(children(service)) == 2)
        service.wait_until_ready()
        assert all_judged_by(service) == {str(other)}
    with served(models, first, folder, workers=1) as service:
        assert judged_by(service) == str(other)
        said = ask(service, "POST", f"{MODEL}/rollback")["versions"]
        assert [(each["version"], each["label"]) for each in said] == [(str(first), "stable"), (str(other), "previous")]
        assert judged_by(service) == str(first)
