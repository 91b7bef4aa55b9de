"""POST /v1/studies, through HTTP, on models whose answers are arithmetic."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import tarfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.api.events import wanted
from app.inference.series_lane import SeriesLane
from app.main import create_app
from app.settings import Settings
from phantoms.series import NODULE_SLICES, SIZE_PX, SLICE_MM, SLICES, SPACING_MM, slice_file, zipped
from phantoms.slices import derived_uid, water
from tests.api.conftest import declared, wait_until_ready
from tests.fakes import ArithmeticBackend, ArithmeticFilter, arithmetic_backends

FORM = "multipart/form-data; boundary=x"
FILE = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n'
FIELD = b'--x\r\nContent-Disposition: form-data; name="explain"\r\n\r\n'
EVENTS = {"accept": "application/x-ndjson"}
Files = list[tuple[str, tuple[str, bytes, str]]]


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("slice.dcm")
        member.size = 100
        archive.addfile(member, io.BytesIO(bytes(100)))
    return out.getvalue()


@pytest.fixture(scope="module")
def series() -> list[bytes]:
    """A series of generated slices in spatial order, with one sphere of 400 HU (probability 0.7)."""
    return [slice_file(n) for n in range(SLICES)]


def parts(files: list[bytes]) -> Files:
    return [("files", (f"Doe^Jane {n}.dcm", data, "application/dicom")) for n, data in enumerate(files)]


def post(client: TestClient, files: list[bytes], **given: Any) -> Any:
    return client.post("/v1/studies", files=parts(files), **given)


def judged(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("request_id", "timing_ms")}


def test_answer_names_the_nodule_its_slices_and_the_series(client: TestClient, series: list[bytes]) -> None:
    response = post(client, series)
    assert response.status_code == 200, response.text
    body = response.json()
    declared(response.content)
    assert body["decision"] == "cancer_suspected"
    assert body["source"]["series"] == {
        "series_instance_uid": derived_uid("series"),
        "study_instance_uid": derived_uid("study"),
        "slices": SLICES,
        "slice_spacing_mm": SLICE_MM,
    }
    finding = body["findings"][0]
    assert finding["probability"] == pytest.approx(0.7, abs=0.02)
    assert finding["slice"]["index"] in NODULE_SLICES
    assert finding["slice"]["sop_instance_uid"] == derived_uid(f"slice {finding['slice']['index']}")
    assert {ref["index"] for ref in finding["slices"]} >= {7, 8, 9}
    assert finding["center_mm"][2] == pytest.approx(-140 + finding["slice"]["index"] * SLICE_MM)
    assert body["key_slices"][0]["findings"][0] == 1
    assert body["key_slices"][0]["index"] == finding["slice"]["index"]
    assert {"study_level_not_validated", "nodules_may_be_missed"} <= {note["code"] for note in body["quality"]}
    assert set(body["timing_ms"]) == {"decode", "lungs", "candidates", "detect", "look", "judge", "total"}
    stages = sum(ms for stage, ms in body["timing_ms"].items() if stage != "total")
    assert body["timing_ms"]["total"] >= stages - 0.1, "from the request's first byte, rounded"
    assert body["request_id"] == response.headers["x-request-id"]
    assert (body["detector"]["name"], body["second_look"]["name"]) == ("nodule-detector", "nodule-suspicion")
    assert (finding["suspicion"], body["scan"]["score"]) == ("suspected", finding["suspicion_score"])
    assert response.headers["vary"] == "Accept, Accept-Language"


def test_order_and_packing_do_not_matter(client: TestClient, series: list[bytes]) -> None:
    shuffled = random.Random(7).sample(series, len(series))
    answers = [
        post(client, series),
        post(client, shuffled),
        client.post("/v1/studies", files={"anything": zipped(shuffled)}),
        client.post("/v1/studies", content=zipped(series), headers={"content-type": "application/zip"}),
    ]
    assert [response.status_code for response in answers] == [200] * 4
    first, *others = (judged(response.json()) for response in answers)
    assert all(other == first for other in others)


def test_other_files_are_left_out_and_said(client: TestClient, series: list[bytes]) -> None:
    body = post(client, [*series, b"a report", slice_file(3)]).json()
    codes = {note["code"] for note in body["quality"]}
    assert {"files_left_out", "duplicates_dropped"} <= codes
    assert body["source"]["series"]["slices"] == SLICES


def test_explain_and_language(client: TestClient, series: list[bytes]) -> None:
    given = {"data": {"explain": "true"}, "headers": {"accept-language": "zh"}}
    body = post(client, series, **given).json()
    assert body["findings"][0]["evidence"]["shape"] == [6, 6]
    assert body["display"] == "肺癌(疑似)"
    unknown = post(client, series, data={"roi": "1,1"}).json()
    assert "parameter_ignored" in {note["code"] for note in unknown["quality"]}
    assert "evidence" not in unknown["findings"][0]


def test_events_tell_the_progress_and_then_the_result(client: TestClient, series: list[bytes]) -> None:
    response = post(client, series, headers={**EVENTS, "accept-language": "zh"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["x-accel-buffering"] == "no", "a proxy may not gather the lines"
    assert response.headers["content-language"] == "zh"
    *steps, last = [json.loads(line) for line in response.text.splitlines()]
    assert {step["event"] for step in steps} == {"progress"}
    assert list(dict.fromkeys(step["stage"] for step in steps)) == ["lungs", "candidates", "detect", "look", "judge"]
    assert all(0 < step["done"] <= step["of"] for step in steps)
    assert last.pop("event") == "result"
    assert judged(last) == judged(post(client, series, headers={"accept-language": "zh"}).json())
    assert last["request_id"] == response.headers["x-request-id"]


def test_bug_after_the_stream_began_is_a_problem_event(
    client: TestClient, series: list[bytes], backend: ArithmeticBackend
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("Doe^Jane")

    backend.run = fail  # type: ignore[method-assign, assignment]  # a defect, injected
    response = post(client, series, headers=EVENTS)
    last = json.loads(response.text.splitlines()[-1])
    assert (response.status_code, last["event"], last["code"], last["status"]) == (
        200,
        "problem",
        "internal_error",
        500,
    )
    assert last["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    assert "Jane" not in response.text
    assert 'lungscope_problems_total{code="internal_error"} 1.0' in client.get("/metrics").text
    assert post(client, series).status_code == 500
    assert len(client.app.state.services.lane) == 0  # type: ignore[attr-defined]  # typed as bare ASGI


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/x-ndjson", True),
        ("application/json, application/x-ndjson;q=0.5", True),
        ("Application/X-NDJSON", True),
        ("application/x-ndjson;q=0", False),
        ("application/x-ndjson; q=0.000", False),
        ("application/x-ndjson;q=0.001", True),
        ("*/*", False),
        (None, False),
    ],
)
def test_events_are_sent_to_those_who_name_them(accept: str | None, expected: bool) -> None:
    assert wanted(accept) is expected


def multipart(files: list[bytes]) -> bytes:
    return b"".join(FILE + data + b"\r\n" for data in files) + b"--x--\r\n"


Send = Callable[[TestClient, list[bytes]], Any]


def raw(content: bytes, content_type: str) -> Send:
    return lambda client, _: client.post("/v1/studies", content=content, headers={"content-type": content_type})


def form(files: Callable[[list[bytes]], list[bytes]]) -> Send:
    return lambda client, series: post(client, files(series))


@pytest.mark.parametrize(
    ("send", "status", "code"),
    [
        (raw(b"", "application/zip"), 400, "empty_body"),
        (raw(b"", "multipart/form-data"), 400, "malformed_form"),
        (raw(b"no boundary here", FORM), 400, "malformed_form"),
        (raw(FILE + b"cut short", FORM), 400, "malformed_form"),
        (raw(b"--x\r\nContent-Disposition: form-data\r\n\r\nnameless\r\n--x--\r\n", FORM), 400, "malformed_form"),
        (raw(FIELD + b"a" * 5000 + b"\r\n--x--\r\n", FORM), 413, "form_too_large"),
        (raw(FIELD + b"\xff\r\n--x--\r\n", FORM), 400, "malformed_form"),
        (raw((FILE.replace(b"; filename", b"; o") + b"1\r\n") * 40 + b"--x--\r\n", FORM), 413, "form_too_large"),
        (raw(b"--x--\r\n", FORM), 422, "no_ct_slices"),
        (raw(b"PK\x03\x04 and no more", "application/zip"), 400, "malformed_archive"),
        (raw(b"neither", "application/zip"), 422, "no_ct_slices"),
        (raw(bytes(100_000), "application/octet-stream"), 422, "no_ct_slices"),
        (form(lambda _: [b"a report"]), 422, "no_ct_slices"),
        (form(lambda series: series[:1]), 422, "too_few_slices"),
        (form(lambda series: [*series[:8], *series[9:]]), 422, "missing_slices"),
        (form(lambda series: [*series, slice_file(99, SeriesInstanceUID=derived_uid("b"))]), 422, "mixed_series"),
        (raw(b"7z\xbc\xaf\x27\x1c" + bytes(100), "application/x-7z-compressed"), 415, "unsupported_media_type"),
        (raw(gzip.compress(tarred(), mtime=0), "application/gzip"), 415, "unsupported_media_type"),
        (form(lambda series: [*series[:8], series[8][:20_000], *series[9:]]), 400, "malformed_dicom"),
        (form(lambda series: series[:2] * 3 + [slice_file(2, PixelSpacing=[9, 9])]), 400, "malformed_dicom"),
    ],
)
def test_what_cannot_be_a_series(client: TestClient, series: list[bytes], send: Send, status: int, code: str) -> None:
    response = send(client, series)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert len(client.app.state.services.lane) == 0  # type: ignore[attr-defined]  # typed as bare ASGI


@pytest.mark.parametrize("content_type", [FORM, "application/zip"])
def test_damaged_bodies_are_never_a_5xx(client: TestClient, series: list[bytes], content_type: str) -> None:
    whole = multipart(series[:3]) if content_type == FORM else zipped(series[:3])
    rng = random.Random(7)
    for _ in range(24):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        del body[rng.choice([len(body), rng.randrange(len(body))]) :]
        response = client.post("/v1/studies", content=bytes(body), headers={"content-type": content_type})
        assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
    assert len(client.app.state.services.lane) == 0  # type: ignore[attr-defined]  # typed as bare ASGI


def test_problems_before_the_judgement_have_their_status_with_events_too(client: TestClient) -> None:
    response = client.post("/v1/studies", content=b"", headers=EVENTS)
    assert (response.status_code, response.json()["code"]) == (400, "empty_body")


def test_series_without_lung_is_a_rejection(client: TestClient) -> None:
    body = post(client, [slice_file(n, water(SIZE_PX, SPACING_MM)) for n in range(4)]).json()
    assert (body["decision"], body["reasons"], body["findings"]) == ("rejected", ["no_lung"], [])


def test_body_beyond_the_limit_is_refused_announced_or_not(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(50_000)

    announced = client.post("/v1/studies", content=bytes(5_000_000))
    chunked = client.post("/v1/studies", content=chunks())
    files = client.post("/v1/studies", files=[("files", bytes(1_000_000))] * 5)
    for response in (announced, chunked, files):
        assert (response.status_code, response.json()["code"]) == (413, "input_too_large")
        assert "LUNGSCOPE_MAX_STUDY_MB" in response.json()["remedy"]


def test_more_slices_than_allowed(
    settings: Settings, backend: ArithmeticBackend, detector_backend: ArithmeticFilter, series: list[bytes]
) -> None:
    few = settings.model_copy(update={"max_slices": 4})
    with TestClient(create_app(few, backends=arithmetic_backends(backend, detector_backend))) as client:
        wait_until_ready(client)
        response = post(client, series)
    assert (response.status_code, response.json()["code"]) == (413, "series_too_large")


def test_lane_full_answers_503_at_once_and_single_slices_are_served(
    client: TestClient, detector_backend: ArithmeticFilter, series: list[bytes]
) -> None:
    detector_backend.hold()
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(post(client, series).status_code))
    first.start()
    assert detector_backend.started.wait(timeout=60)
    second = post(client, series)
    single = client.post("/v1/predict", params={"roi": "37,60"}, content=series[8])
    in_memory = client.get("/metrics").text
    detector_backend.release()
    first.join()
    assert answers == [200]
    assert (second.status_code, second.json()["code"]) == (503, "overloaded")
    assert int(second.headers["retry-after"]) > 0
    assert single.status_code == 200
    assert "lungscope_series_in_memory 1.0" in in_memory
    assert post(client, series).status_code == 200


def test_caller_without_token_takes_no_room(settings: Settings, series: list[bytes]) -> None:
    guarded = settings.model_copy(update={"api_token": SecretStr("a-token-of-some-length")})
    app = create_app(guarded, backends=arithmetic_backends())
    with TestClient(app) as client, app.state.services.lane.slot():
        wait_until_ready(client)
        response = post(client, series)
    assert (response.status_code, response.json()["code"]) == (401, "not_authorised")


def test_metrics_count_slices_and_stages(client: TestClient, series: list[bytes]) -> None:
    post(client, series)
    text = client.get("/metrics").text
    assert 'lungscope_series_slices_bucket{le="16.0"} 1.0' in text
    assert "lungscope_series_slices_sum 16.0" in text
    for stage in ("decode", "lungs", "candidates", "detect", "look", "judge", "total"):
        assert f'lungscope_series_stage_seconds_count{{stage="{stage}"}} 1.0' in text
    assert derived_uid("series") not in text


class Caller:
    """One request to the bare application, whose sender decides when to go away."""

    path = "/v1/studies"

    def __init__(self, app: Any, body: bytes, headers: dict[str, str], *, more_body: bool = False) -> None:
        self._app, self._body, self._more_body = app, body, more_body
        self._headers = [
            (b"host", b"x"),
            (b"content-type", FORM.encode()),
            *((k.encode(), v.encode()) for k, v in headers.items()),
        ]
        self.was_asked = False
        self.gone = asyncio.Event()
        self.received: list[dict[str, Any]] = []

    async def _receive(self) -> dict[str, Any]:
        if not self.was_asked:
            self.was_asked = True
            return {"type": "http.request", "body": self._body, "more_body": self._more_body}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.received.append(message)

    async def ask(self) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": self._headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self._app(scope, self._receive, self._send)


@pytest.mark.parametrize("headers", [{}, EVENTS])
def test_caller_who_goes_away_stops_the_work_within_one_batch(
    client: TestClient,
    backend: ArithmeticBackend,
    detector_backend: ArithmeticFilter,
    series: list[bytes],
    headers: dict[str, str],
) -> None:
    lane: SeriesLane = client.app.state.services.lane  # type: ignore[attr-defined]  # typed as bare ASGI
    detector_backend.hold()
    detector_backend.batches.clear()
    backend.batches.clear()

    async def scenario() -> None:
        caller = Caller(client.app, multipart(series), headers)
        asking = asyncio.create_task(caller.ask())
        await asyncio.to_thread(detector_backend.started.wait, 60)
        assert len(lane) == 1
        (slot,) = lane._open
        caller.gone.set()
        while not slot.cancelled():
            await asyncio.sleep(0)
        detector_backend.release()
        await asking
        assert not any(b'"decision"' in message.get("body", b"") for message in caller.received)

    asyncio.run(scenario())
    lane.close()
    assert len(lane) == 0
    assert len(detector_backend.batches) == 1, "the batch at work, and no other"
    assert not backend.batches, "nor what comes after the search"


def test_caller_who_goes_away_during_the_upload_is_no_bug(
    client: TestClient, series: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[dict[str, Any]]:
        caller = Caller(client.app, multipart(series)[:100_000], {}, more_body=True)
        caller.gone.set()
        await caller.ask()
        return caller.received

    start, _ = asyncio.run(scenario())
    assert start["status"] == 499
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(client.app.state.services.lane) == 0  # type: ignore[attr-defined]  # typed as bare ASGI
