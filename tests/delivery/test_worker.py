"""Judging and delivering step by step, with a receiver that fails first, and a process that is killed between."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread

from app.delivery.database.clock_steps import ClockReading, read_clock
from app.delivery.database.store import ResultStore
from app.delivery.destinations.destination import Outcome
from app.delivery.destinations.dicomweb import StowDestination
from app.delivery.destinations.fhir import FhirDestination
from app.delivery.destinations.http_client import Access
from app.delivery.judging import MAX_ATTEMPTS, SpoolWork
from app.delivery.spool.spool import Spool, SpoolLimits
from app.delivery.worker import Backoff, DeliveryWork
from app.errors import GantryTilt
from app.inference.series import Cancelled
from app.inference.series_lane import SeriesLane
from app.reports.result import ObjectKind, ResultObject, SeriesResult
from app.telemetry import Metrics
from benchmarks.serving.receiver import Receiver, receiving
from benchmarks.serving.service import Service, eventually
from phantoms.series import SLICES, slice_file
from tests.delivery.spool.test_spool import receive

LATER = 4e9
YEAR_S = 365 * 86_400.0


def result(uid: str = "2.25.1", kind: ObjectKind = "dicom", content: bytes = b"object") -> ResultObject:
    return ResultObject(uid, kind, "2.25.2", "2.25.3", "{}", content)


@pytest.fixture
def store(tmp_path: Path, each_database: None) -> ResultStore:  # noqa: ARG001
    return ResultStore(tmp_path / "results.sqlite3")


def judging(tmp_path: Path, store: ResultStore, judge: Callable[..., Any], metrics: Metrics | None = None) -> SpoolWork:
    spool = Spool(tmp_path / "spool", SpoolLimits(1 << 20, 1e9, 0, 0))
    owed: dict[ObjectKind, Sequence[str]] = {"dicom": ["pacs"], "fhir": ["fhir"]}
    return SpoolWork(spool, store, SeriesLane(1), judge, owed, metrics or Metrics(), keep_hours=1)


def delivering(store: ResultStore, tmp_path: Path, url: str, metrics: Metrics | None = None) -> DeliveryWork:
    destination = StowDestination(Access(url, token="secret token"))
    return DeliveryWork(store, destination, tmp_path / "pacs.lock", Backoff(5.0), metrics or Metrics())


def put(store: ResultStore, *objects: ResultObject, expires_at: float = LATER) -> None:
    owed: dict[ObjectKind, Sequence[str]] = {"dicom": ["pacs"], "fhir": ["fhir"]}
    store.put("claim", objects, owed, now=0, expires_at=expires_at)


def test_results_are_stored_owed_and_the_series_is_gone(tmp_path: Path, store: ResultStore) -> None:
    def judge(
        paths: Sequence[Path], arrived: datetime, _: object, wanted: frozenset[ObjectKind], __: object
    ) -> SeriesResult:
        assert len(paths) == 2
        assert arrived.tzinfo is not None
        assert wanted == {"dicom", "fhir"}
        return SeriesResult([result(), result("2.25.9", "fhir")])

    worker = judging(tmp_path, store, judge)
    receive(worker.spool, "1", "2")
    assert worker.step(LATER)
    assert (store.waiting("pacs"), store.waiting("fhir"), len(worker.spool)) == (1, 1, 0)
    assert store.find("2.25.2") == ["2.25.1"]
    assert not worker.step(LATER)


def test_an_unfit_series_is_dropped_and_counted(tmp_path: Path, store: ResultStore) -> None:
    def judge(*_: object) -> SeriesResult:
        raise GantryTilt(found="a tilt", expected="none", remedy="Send another.")

    metrics = Metrics()
    worker = judging(tmp_path, store, judge, metrics)
    receive(worker.spool, "1")
    assert worker.step(LATER)
    assert len(worker.spool) == 0
    assert metrics.registry.get_sample_value("lungscope_spooled_series_total", {"outcome": "unfit"}) == 1


def test_what_fails_every_time_is_dropped(tmp_path: Path, store: ResultStore) -> None:
    attempts = []

    def judge(*_: object) -> SeriesResult:
        attempts.append(1)
        raise ZeroDivisionError

    metrics = Metrics()
    worker = judging(tmp_path, store, judge, metrics)
    receive(worker.spool, "1")
    while worker.step(LATER):
        pass
    assert (len(attempts), len(worker.spool)) == (MAX_ATTEMPTS, 0)
    assert metrics.registry.get_sample_value("lungscope_spooled_series_total", {"outcome": "failed"}) == 1


def test_an_interruption_costs_no_attempt(tmp_path: Path, store: ResultStore) -> None:
    def judge(*_: object) -> SeriesResult:
        raise Cancelled

    worker = judging(tmp_path, store, judge)
    receive(worker.spool, "1")
    for _ in range(MAX_ATTEMPTS + 2):
        assert not worker.step(LATER)
    assert len(worker.spool) == 1


def test_a_full_lane_leaves_the_series_for_later(tmp_path: Path, store: ResultStore) -> None:
    worker = judging(tmp_path, store, lambda *_: SeriesResult([result()]))
    receive(worker.spool, "1")
    with worker.lane.slot():
        assert not worker.step(LATER)
    assert worker.step(LATER)


def test_a_clock_that_is_set_ahead_drops_nothing_that_can_be_judged(tmp_path: Path, store: ResultStore) -> None:
    uids = iter(["2.25.1", "2.25.9"])
    worker = judging(tmp_path, store, lambda *_: SeriesResult([result(next(uids))]))
    worker = replace(worker, spool=Spool(tmp_path / "spool", SpoolLimits(1 << 20, 24, 0, 0)), keep_hours=1e6)
    receive(worker.spool, "1")
    receive(worker.spool, "2", series="1.3")
    assert worker.step(time.time() + YEAR_S)
    assert worker.step(time.time() + YEAR_S)
    assert (len(worker.spool), store.waiting("pacs")) == (0, 2)


def test_what_could_not_be_judged_in_its_time_is_dropped(tmp_path: Path, store: ResultStore) -> None:
    def judge(*_: object) -> SeriesResult:
        raise Cancelled

    worker = replace(judging(tmp_path, store, judge), spool=Spool(tmp_path / "spool", SpoolLimits(1 << 20, 24, 0, 0)))
    receive(worker.spool, "1")
    assert not worker.step(time.time() + 60)
    assert len(worker.spool) == 1
    assert not worker.step(time.time() + YEAR_S)
    assert len(worker.spool) == 0


def test_results_are_kept_as_long_as_promised_whatever_the_clock_says(tmp_path: Path, store: ResultStore) -> None:
    """Set ahead by a year, again by none, back by a year: an hour stays an hour, and what waits is delivered."""
    worker = judging(tmp_path, store, lambda *_: SeriesResult(()))
    now, reading = 1_000_000.0, ClockReading("boot", 500.0)

    def step(passed_s: float, set_s: float = 0.0, boot: str = "boot") -> None:
        nonlocal now, reading
        now += passed_s + set_s
        reading = ClockReading(boot, reading.ahead_s + set_s)
        replace(worker, read_clock=lambda: reading).step(now)

    step(0)
    store.put("claim", [result()], {"dicom": ["pacs"]}, now=now, expires_at=now + 3600)
    store.postpone("pacs", "2.25.1", now + 1800)
    step(60)
    assert store.due("pacs", now) is None
    step(60, set_s=YEAR_S)
    assert store.due("pacs", now) is not None
    store.postpone("pacs", "2.25.1", now + 1800)
    step(3400)
    assert store.find() == ["2.25.1"]
    step(1, set_s=-YEAR_S)
    assert store.due("pacs", now) is not None
    assert store.find() == ["2.25.1"]
    step(3601)
    assert store.find() == []
    step(0, set_s=YEAR_S, boot="another")  # of another start nothing can be told, nor of a step of seconds
    store.put("claim", [result()], {}, now=now, expires_at=now + 10)
    step(11, set_s=20, boot="another")
    assert store.find() == []


def test_the_systems_clock_is_read() -> None:
    first, second = read_clock(), read_clock()
    if first is None or second is None:
        pytest.skip("no /proc")
    assert second.step_since(first) == 0


def test_a_series_whose_results_are_stored_is_not_judged_again(tmp_path: Path, store: ResultStore) -> None:
    """The process died between storing the results and deleting the series."""
    worker = judging(tmp_path, store, lambda *_: pytest.fail("judged again"))
    receive(worker.spool, "1")
    claim = worker.spool.claim(LATER)
    assert claim is not None
    store.put(claim.id, [result()], {"dicom": ["pacs"]}, now=0, expires_at=LATER * 2)
    store.settle("pacs", "2.25.1")
    claim.release()
    assert worker.step(LATER)
    assert (store.waiting("pacs"), len(worker.spool)) == (0, 0)


def test_a_receiver_that_is_down_at_first_gets_it_once(tmp_path: Path, store: ResultStore) -> None:
    put(store, result(content=b"exact\r\n"))
    receiver = Receiver(lambda n: (503 if n < 3 else 200, b"{}"))
    with receiving(receiver):
        worker = delivering(store, tmp_path, receiver.url)
        assert not worker.step(100)
        assert not worker.step(104)
        assert len(receiver.requests) == 1
        assert not worker.step(105)
        assert not worker.step(114)
        assert len(receiver.requests) == 2
        assert worker.step(115)
        assert not worker.step(1e6)
    assert len(receiver.requests) == 3
    path, headers, body = receiver.requests[-1]
    assert path == "/root/studies"
    assert headers["Authorization"] == "Bearer secret token"
    assert b"\r\n\r\nexact\r\n\r\n--" in body
    assert store.find() == ["2.25.1"]


def test_nobody_listening_is_a_reason_to_wait(tmp_path: Path, store: ResultStore) -> None:
    put(store, result())
    with receiving(Receiver()) as gone:
        pass
    assert not delivering(store, tmp_path, gone.url).step(0)
    assert store.due("pacs", 4) is None
    assert store.due("pacs", 5) is not None


def test_one_process_delivers_at_a_time(tmp_path: Path, store: ResultStore) -> None:
    put(store, result())
    with receiving(Receiver()) as receiver:
        one, other = (delivering(store, tmp_path, receiver.url) for _ in range(2))

        def answer(_: int) -> tuple[int, bytes]:
            assert not other.step(0)
            return 200, b""

        receiver.answer = answer
        assert one.step(0)
    assert len(receiver.requests) == 1


def failure(*reasons: int) -> bytes:
    return json.dumps({"00081198": {"Value": [{"00081197": {"Value": [reason]}} for reason in reasons]}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", "delivered"),
        (202, b"{}", "delivered"),
        (409, failure(0x0111), "delivered"),
        (202, failure(0x0111), "delivered"),
        (409, b"<xml/>", "delivered"),
        (409, failure(0x0122), "refused"),
        (409, failure(0xA900), "refused"),
        (409, failure(0xA700), "retry"),
        (202, failure(0x0110), "retry"),
        (401, b"", "retry"),
        (302, b"", "retry"),
        (503, b"", "retry"),
    ],
)
def test_answers_of_an_archive(status: int, body: bytes, outcome: Outcome) -> None:
    with receiving(Receiver(lambda _: (status, body))) as receiver:
        assert StowDestination(Access(receiver.url)).send(b"x") == outcome


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "delivered"), (400, "refused"), (422, "refused"), (409, "retry"), (500, "retry")]
)
def test_answers_of_a_fhir_server(status: int, outcome: Outcome) -> None:
    with receiving(Receiver(lambda _: (status, b"{}"))) as receiver:
        assert FhirDestination(Access(receiver.url, user="u", password="p")).send(b"{}") == outcome
    path, headers, body = receiver.requests[0]
    assert (path, body, headers["Authorization"]) == ("/root", b"{}", "Basic dTpw")
    assert headers["Content-Type"] == "application/fhir+json"


def test_pauses_double_up_to_an_hour() -> None:
    backoff = Backoff(5.0)
    assert [backoff.pause_s(n) for n in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert backoff.pause_s(50) == 3600


def test_delivered_fhir_goes_and_what_expires_goes_from_the_file_too(tmp_path: Path, store: ResultStore) -> None:
    put(store, result(), result("f", "fhir", b"SECRET-BUNDLE"), expires_at=10)
    store.settle("fhir", "f")
    assert store.content("f") is None
    assert store.content("2.25.1") == b"object"
    assert b"SECRET-BUNDLE" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert store.expire(9) == 0
    assert store.expire(10) == 1
    assert store.find() == []


def test_credentials_are_not_shown() -> None:
    assert "hidden" not in repr(Access("http://x", token="hidden", password="hidden"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_between_judging_and_delivery_it_arrives_exactly_once(tmp_path: Path, workers: int) -> None:
    """The real process on the shipped models: nobody listens while it judges, it is killed, a new one delivers."""
    with receiving(Receiver()) as receiver:
        pass
    environment = {"LUNGSCOPE_SPOOL_DIR": str(tmp_path), "LUNGSCOPE_PACS_URL": receiver.url}
    environment |= {"LUNGSCOPE_SETTLE_SECONDS": "0", "LUNGSCOPE_RETRY_SECONDS": "1"}
    first = Service(workers=workers, environment=environment)
    first.wait_until_ready()
    send(first, [slice_file(index) for index in range(SLICES)])
    store = ResultStore(tmp_path / "results.sqlite3")
    waiting = eventually(lambda: store.waiting("pacs"))
    kill_all(first)
    assert first.end() == -signal.SIGKILL
    with receiving(receiver):
        second = Service(workers=workers, environment=environment)
        second.wait_until_ready()
        eventually(lambda: store.waiting("pacs") == 0)
        second.process.terminate()
        assert second.end() == 0
    uids = [instance.SOPInstanceUID for instance in receiver.instances]
    assert len(uids) == len(set(uids)) == waiting
    assert set(uids) == set(store.find())


def kill_all(service: Service) -> None:
    """The process and its workers, without a chance to do anything more."""
    pids = [service.process.pid]
    for pid in pids:
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def send(service: Service, files: Sequence[bytes]) -> None:
    DICOMwebClient(url=service.url("/dicom-web")).store_instances([dcmread(BytesIO(data)) for data in files])
