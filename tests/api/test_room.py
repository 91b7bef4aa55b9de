"""What is not received where it could not be judged, how much is told of its progress, and from when time counts."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from app.api import events
from app.api.events import Throttle
from app.api.routes import predict
from app.inference import engine
from app.inference.series_lane import SeriesLane
from app.main import create_app
from app.settings import Settings
from phantoms.series import SLICES, slice_file
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.api.test_predict import filled
from tests.api.test_studies import EVENTS, Caller, multipart, post
from tests.fakes import ArithmeticBackend, arithmetic_backends


def test_full_queue_answers_before_it_has_received_anything(
    client: TestClient, backend: ArithmeticBackend, suspicious: bytes
) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "headers": []}
        await client.app(scope, receive, send)

    with filled(client, backend, suspicious):
        asyncio.run(ask())
    assert sent[0]["status"] == 503


def test_body_for_which_there_is_no_room_is_not_received(
    settings: Settings, backend: ArithmeticBackend, suspicious: bytes
) -> None:
    """There is a place in the queue, but not for so many bytes."""
    roomy = settings.model_copy(update={"queue_limit": 4, "queue_mb": 1})
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask(app: ASGIApp) -> None:
        headers = [(b"content-length", b"%d" % (1 << 20))]
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "headers": headers}
        await app(scope, receive, send)

    app = create_app(roomy, backends=arithmetic_backends(backend))
    with TestClient(app) as client:
        wait_until_ready(client)
        with filled(client, backend, suspicious):
            asyncio.run(ask(app))
    assert sent[0]["status"] == 503


def test_series_is_not_received_before_the_model_is_ready(settings: Settings, backend: ArithmeticBackend) -> None:
    backend.hold()

    async def scenario(app: ASGIApp) -> tuple[bool, list[dict[str, Any]]]:
        caller = Caller(app, b"", {})
        await caller.ask()
        return caller.was_asked, caller.received

    app = create_app(settings, backends=arithmetic_backends(backend))
    with TestClient(app):
        was_asked, (start, *_) = asyncio.run(scenario(app))
        backend.release()
    assert (start["status"], was_asked) == (503, False)


def test_throttle_keeps_the_ends_of_each_stage() -> None:
    passed: list[tuple[str, int]] = []
    times = iter([0.0, 0.05, 0.06, 0.11, 0.12, 0.13, 0.14])
    tell = Throttle(lambda stage, done, _of: passed.append((stage, done)), clock=lambda: next(times))
    for step in (("lungs", 1, 4), ("lungs", 2, 4), ("lungs", 3, 4), ("lungs", 4, 4)):
        tell(*step)
    for step in (("judge", 1, 3), ("judge", 2, 3), ("judge", 3, 3)):
        tell(*step)
    assert passed == [("lungs", 1), ("lungs", 4), ("judge", 1), ("judge", 3)]


def test_events_are_no_more_than_a_screen_shows(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    series = [slice_file(index) for index in range(SLICES)]
    monkeypatch.setattr(events, "MIN_INTERVAL_S", 1e9)
    *steps, _ = [json.loads(line) for line in post(client, series, headers=EVENTS).text.splitlines()]
    lungs = [(step["done"], step["of"]) for step in steps if step["stage"] == "lungs"]
    assert len(lungs) == 2
    assert lungs[1] == (SLICES, SLICES)


def test_total_time_begins_with_the_request(
    client: TestClient, suspicious: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the image: to receive it is the most of it for a slow client, here an hour."""
    monkeypatch.setattr(predict, "time", SimpleNamespace(perf_counter=lambda: time.perf_counter() - 3600))
    timing_ms = client.post("/v1/predict", params=ON_NODULE, content=suspicious).json()["timing_ms"]
    assert timing_ms["total"] >= 3_600_000 > timing_ms["decode"]


def test_series_that_trickle_take_no_place_from_one_that_is_there(client: TestClient) -> None:
    """One place, and eight clients who stop in the middle of theirs."""
    files = [slice_file(index) for index in range(SLICES)]
    lane: SeriesLane = client.app.state.services.lane  # type: ignore[attr-defined]  # typed as bare ASGI

    async def scenario() -> Caller:
        trickling = [Caller(client.app, multipart(files)[:100_000], {}, more_body=True) for _ in range(8)]
        asked = [asyncio.create_task(caller.ask()) for caller in trickling]
        while not all(caller.was_asked for caller in trickling):
            await asyncio.sleep(0)
        assert len(lane) == 0
        whole = Caller(client.app, multipart(files), {})
        await whole.ask()
        for caller in trickling:
            caller.gone.set()
        await asyncio.gather(*asked)
        return whole

    (start, *_) = asyncio.run(scenario()).received
    assert start["status"] == 200


def test_place_is_free_when_the_work_has_ended_however_slowly_the_answer_is_read(client: TestClient) -> None:
    files = [slice_file(index) for index in range(SLICES)]
    lane: SeriesLane = client.app.state.services.lane  # type: ignore[attr-defined]  # typed as bare ASGI
    at_answer: list[int] = []

    class Reader(Caller):
        async def _send(self, message: dict[str, Any]) -> None:
            at_answer.append(len(lane))
            await super()._send(message)

    asyncio.run(Reader(client.app, multipart(files), {}).ask())
    assert set(at_answer) == {0}


def test_bodies_count_while_they_are_received(settings: Settings) -> None:
    """Two of 600 kB do not fit into a megabyte: the one that stopped makes room for the one that comes."""
    app = create_app(settings.model_copy(update={"queue_mb": 1, "queue_limit": 8}), backends=arithmetic_backends())
    body = bytes(600_000)

    async def scenario() -> list[Any]:
        callers = [Slice(app, body, {}, more_body=True) for _ in range(2)]
        asked = []
        for caller in callers:
            asked.append(asyncio.create_task(caller.ask()))
            while not caller.was_asked:
                await asyncio.sleep(0)
        await asked[0]
        callers[1].gone.set()
        await asked[1]
        return [caller.received[0]["status"] for caller in callers]

    with TestClient(app) as client:
        wait_until_ready(client)
        assert asyncio.run(scenario()) == [503, 499]


class Slice(Caller):
    """A request with a slice."""

    path = "/v1/predict"


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}])
def test_memory_of_a_body_is_what_it_becomes(settings: Settings, headers: dict[str, str]) -> None:
    """A kilobyte that expands to a megabyte counts as a megabyte."""
    app = create_app(
        settings.model_copy(update={"queue_mb": 1, "max_body_mb": 4, "queue_limit": 8}), backends=arithmetic_backends()
    )
    body = gzip.compress(bytes(900_000))[:-8] if headers else bytes(900_000)

    async def scenario() -> list[Any]:
        callers = [Slice(app, body, headers, more_body=True) for _ in range(2)]
        asked = [asyncio.create_task(caller.ask()) for caller in callers]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        for caller in callers:
            caller.gone.set()
        await asyncio.gather(*asked)
        return sorted(caller.received[0]["status"] for caller in callers)

    with TestClient(app) as client:
        wait_until_ready(client)
        assert asyncio.run(scenario()) == [499, 503]


def test_liveness_fails_while_a_thread_is_stuck(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/health/live").status_code == 200
    monkeypatch.setattr(engine, "STUCK_S", -1.0)
    response = client.get("/health/live")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
