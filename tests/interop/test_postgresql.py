"""Instances of the service on one PostgreSQL server and one spool, while processes are killed and the server goes."""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from pydicom.uid import Comprehensive3DSRStorage
from starlette.testclient import TestClient

from app.cli import CANNOT_START, OK, main
from app.delivery.database.storage import RESULTS
from app.delivery.database.store import ResultStore
from app.main import create_app
from app.reports.result import ResultObject
from app.settings import Settings
from benchmarks.fuzz.bodies import related
from benchmarks.serving.receiver import Receiver, receiving
from benchmarks.serving.service import PATIENCE_S, eventually, free_port
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.api.conftest import wait_until_ready
from tests.fakes import arithmetic_backends, write_models
from tests.postgresql import Cluster

pytestmark = pytest.mark.interop
SERIES, KILLS, SEED = 20, 5, 7
STUDIES: Final = "/dicom-web/studies"


def study(number: int) -> str:
    return derived_uid(f"study {number} of two instances")


def body_of(number: int) -> tuple[bytes, dict[str, str]]:
    """A series of one nodule, and the headers to send it with."""
    uid = study(number)
    uids: dict[str, Any] = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1"}
    files = [slice_file(index, SOPInstanceUID=f"{uid}.1.{index}", **uids) for index in range(SLICES)]
    body = related(files)
    return body.written(), {"Content-Type": body.content_type(), "Accept": "application/dicom+json"}


class Instance:
    """One of the instances, which is killed and started again at its port."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.port = free_port()
        self._environment = {**os.environ, **environment}
        self._process = self._started()

    def kill(self) -> None:
        """Kill it, and start it again without waiting for it."""
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._process = self._started()

    def end(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
        """The status of an answer; 0 where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def is_ready(self) -> bool:
        return self.ask("GET", "/health/ready") == 200

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.interop.instance", str(self.port)]
        return subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)


@contextmanager
def instances(folder: Path, url: str, pacs: str) -> Iterator[list[Instance]]:
    write_models(folder)
    environment = {
        "LUNGSCOPE_MODELS_DIR": str(folder),
        "LUNGSCOPE_SPOOL_DIR": str(folder / "state"),
        "LUNGSCOPE_DATABASE_URL": url,
        "LUNGSCOPE_PACS_URL": pacs,
        "LUNGSCOPE_SETTLE_SECONDS": "0",
        "LUNGSCOPE_RETRY_SECONDS": "1",
        "LUNGSCOPE_MAX_PICTURES": "1",
        "LUNGSCOPE_THREADS": "1",
    }
    both = [Instance(environment) for _ in range(2)]
    try:
        yield both
    finally:
        for each in both:
            each.end()


def test_every_series_has_one_report_whichever_instance_is_killed(tmp_path: Path, postgresql: Cluster) -> None:
    postgresql.empty()
    spool = tmp_path / "state" / "spool"
    chance = random.Random(SEED)
    killed_at = chance.sample(range(SERIES), KILLS)
    with receiving(Receiver()) as pacs, instances(tmp_path, postgresql.url, pacs.url) as both:
        for number in range(SERIES):
            if number == SERIES // 2:
                with stopped(postgresql):
                    pass
            to = chance.choice(eventually(lambda: [each for each in both if each.is_ready()]))
            (other,) = (each for each in both if each is not to)
            killer = threading.Timer(chance.random() / 2, other.kill if number in killed_at else lambda: None)
            killer.start()
            body, headers = body_of(number)
            assert to.ask("POST", STUDIES, body, headers) == 200
            killer.join()
        eventually(lambda: reports(pacs).keys() == {study(number) for number in range(SERIES)})
        # Neither has anything left to do that could make another one.
        eventually(lambda: not [*spool.glob("series/*"), *spool.glob("judging/*")])
    assert not (tmp_path / "state" / "results.sqlite3").exists()
    assert set(reports(pacs).values()) == {1}


def reports(pacs: Receiver) -> Counter[str]:
    """The number of different reports on each study."""
    every = {(each.StudyInstanceUID, each.SOPInstanceUID): each.SOPClassUID for each in pacs.instances}
    return Counter(study for (study, _), kind in every.items() if kind == Comprehensive3DSRStorage)


def started(folder: Path, url: str, **given: Any) -> TestClient:
    if not (folder / "nodule-classifier").exists():
        write_models(folder)
    environment = {"models_dir": folder, "spool_dir": folder / "state", "database_url": url, "settle_seconds": 0}
    settings = Settings(threads=1, **environment, **given)  # type: ignore[arg-type]
    return TestClient(create_app(settings, backends=arithmetic_backends()), raise_server_exceptions=False)


@contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    """Without the server, which ends as if it was killed."""
    cluster.stop("immediate")
    try:
        yield
    finally:
        cluster.start()


def test_what_comes_while_the_server_is_away_is_refused_and_what_came_before_is_judged(
    tmp_path: Path, postgresql: Cluster
) -> None:
    postgresql.empty()
    with started(tmp_path, postgresql.url) as client:
        wait_until_ready(client)
        content, headers = body_of(0)
        assert client.post(STUDIES, content=content, headers=headers).status_code == 200
        with stopped(postgresql):
            for answer in (
                client.get(STUDIES),
                client.post(STUDIES, content=body_of(1)[0], headers=body_of(1)[1]),
                client.get(f"/v1/jobs/{'0' * 8}-0000-4000-8000-{'0' * 12}"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
                assert int(answer.headers["retry-after"]) > 0
                assert "127.0.0.1" not in answer.text
            ready = client.get("/health/ready")
            assert ready.status_code == 503
            assert "PostgreSQL cannot be reached" in ready.json()["reason"]
            assert "lungscope_storage_writable 0.0" in client.get("/metrics").text
        eventually(lambda: client.get("/health/ready").status_code == 200)
        assert client.post(STUDIES, content=body_of(1)[0], headers=body_of(1)[1]).status_code == 200
        for number in range(2):
            eventually(lambda number=number: client.get(f"{STUDIES}/{study(number)}/instances").json())  # type: ignore[misc]


def test_a_start_without_the_server_waits_for_it(tmp_path: Path, postgresql: Cluster) -> None:
    postgresql.empty()
    with stopped(postgresql):
        client = started(tmp_path, postgresql.url)
        client.__enter__()
        eventually(lambda: "PostgreSQL cannot be reached" in client.get("/health/ready").text)
    wait_until_ready(client)
    assert client.get(STUDIES).status_code == 200
    client.__exit__()


def test_commands_work_beside_it(
    tmp_path: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    postgresql.empty()
    result = ResultObject("2.25.1", "dicom", "2.25.2", "2.25.3", "{}", b"object")
    store = ResultStore(tmp_path / RESULTS, postgresql.url)
    store.put("claim", [result], {"dicom": ["pacs"]}, now=0, expires_at=4e9)
    monkeypatch.setenv("LUNGSCOPE_SPOOL_DIR", str(tmp_path))
    monkeypatch.setenv("LUNGSCOPE_DATABASE_URL", postgresql.url)
    assert main(["jobs", "list"]) == CANNOT_START
    assert "no folder with spool" in capsys.readouterr().err
    (tmp_path / "spool").mkdir()
    assert main(["jobs", "drop", "pacs:2.25.1"]) == OK
    assert store.waiting("pacs") == 0
    with stopped(postgresql):
        assert main(["jobs", "list"]) == CANNOT_START
    assert "LUNGSCOPE_DATABASE_URL, which cannot be used now" in capsys.readouterr().err


def test_verdicts_of_one_instance_are_known_to_another(tmp_path: Path, postgresql: Cluster) -> None:
    postgresql.empty()
    with started(tmp_path, postgresql.url, feedback_dir=tmp_path / "feedback") as one:
        wait_until_ready(one)
        answer = one.post("/v1/predict?roi=20,30", content=slice_file(8), headers={"Content-Type": "application/dicom"})
        assert answer.status_code == 200
        said = {"request_id": answer.json()["request_id"], "finding": 1, "verdict": "benign", "source": "reader"}
        with started(tmp_path, postgresql.url, feedback_dir=tmp_path / "feedback") as other:
            wait_until_ready(other)
            eventually(lambda: other.post("/v1/feedback", json=said).status_code == 200)
    assert not (tmp_path / "feedback" / "feedback.sqlite3").exists()
