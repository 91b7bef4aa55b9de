"""The pixels of an upload as the models see them, through HTTP."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from app.imaging.options import ReadOptions, Window
from app.imaging.read import read_slice
from app.inference.series_lane import SeriesLane
from app.judgement.pixels import PixelsOut
from app.settings import Settings
from phantoms.series import SIZE_PX, SLICE_MM, SLICES, SPACING_MM, slice_file, zipped
from phantoms.slices import derived_uid
from tests.api.conftest import STATED, WINDOW
from tests.api.test_studies import Caller, multipart

HEAD = TypeAdapter(PixelsOut)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"upload_patience_seconds": 1})


def unpacked(content: bytes) -> tuple[PixelsOut, NDArray[np.int16]]:
    """The first line, of the declared types to the letter, and the pixels after it."""
    line, _, rest = content.partition(b"\n")
    head = HEAD.validate_json(line, strict=True, extra="forbid")
    return head, np.frombuffer(rest, "<i2").reshape(head["slices"], head["rows"], head["columns"])


def slice_pixels(client: TestClient, data: bytes, **given: Any) -> Any:
    return client.post("/v1/predict/pixels", files={"file": ("Doe^Jane.dcm", data)}, **given)


def series_pixels(client: TestClient, files: list[bytes], **given: Any) -> Any:
    return client.post("/v1/studies/pixels", files=[("files", (f"{n}", data)) for n, data in enumerate(files)], **given)


def test_a_dicom_slice_comes_back_as_it_is_judged(client: TestClient) -> None:
    data = slice_file(7)
    answer = slice_pixels(client, data)
    head, pixels = unpacked(answer.content)
    image = read_slice(data)
    assert (pixels[0] == np.rint(image.hu)).all()
    assert head["pixel_spacing_mm"] == (SPACING_MM, SPACING_MM)
    assert list(head["orientation"] or ()) == [1, 0, 0, 0, 1, 0]
    assert head["positions_mm"] == [image.position_mm]
    assert head["sources"] == [{"sop_instance_uid": derived_uid("slice 7"), "frame": None}]
    assert (head["slice_spacing_mm"], head["window"]) == (None, {"center_hu": -600, "width_hu": 1500})


def test_a_picture_comes_back_in_the_hu_of_its_window(client: TestClient, suspicious: bytes) -> None:
    head, pixels = unpacked(slice_pixels(client, suspicious, params=STATED).content)
    image = read_slice(suspicious, ReadOptions(pixel_spacing_mm=(1.4, 1.4), window=Window(*WINDOW)))
    assert (pixels[0] == np.rint(image.hu)).all()
    assert (head["kind"], head["orientation"], head["positions_mm"]) == ("png", None, [None])
    assert head["window"] == {"center_hu": WINDOW[0], "width_hu": WINDOW[1]}
    assumed, _ = unpacked(slice_pixels(client, suspicious).content)
    assert {"window_assumed", "spacing_assumed"} <= {note["code"] for note in assumed["quality"]}


@pytest.mark.parametrize("sent", ["parts", "zip"])
def test_a_series_comes_back_in_spatial_order(client: TestClient, sent: str) -> None:
    files = [slice_file(n) for n in range(SLICES)]
    answer = series_pixels(client, files[::-1] if sent == "parts" else [zipped(files[::-1])])
    head, pixels = unpacked(answer.content)
    assert pixels.shape == (SLICES, SIZE_PX, SIZE_PX)
    for n, data in enumerate(files):
        assert (pixels[n] == np.rint(read_slice(data).hu)).all()
    assert [each["sop_instance_uid"] for each in head["sources"]] == [derived_uid(f"slice {n}") for n in range(SLICES)]
    assert head["slice_spacing_mm"] == SLICE_MM


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip", "gzip"), ("br, gzip;q=0.5", "gzip"), ("identity", None), ("gzip;q=0", None)]
)
def test_gzip_is_for_those_who_accept_it(client: TestClient, accepted: str, coding: str | None) -> None:
    files = [slice_file(n) for n in range(SLICES)]
    for path, sent in (("/v1/predict/pixels", files[:1]), ("/v1/studies/pixels", files)):
        parts = [("files", (f"{n}", data)) for n, data in enumerate(sent)]
        with client.stream("POST", path, files=parts, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"] == "Accept-Encoding"
        _, pixels = unpacked(gzip.decompress(raw) if coding else raw)
        assert len(pixels) == len(sent)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"GIF89a" + bytes(64), 415, "unsupported_media_type"),
        (bytes(2 << 20), 413, "input_too_large"),
    ],
)
def test_what_cannot_be_judged_cannot_be_read(client: TestClient, data: bytes, status: int, code: str) -> None:
    answer = client.post("/v1/predict/pixels", content=data, headers={"content-type": "application/octet-stream"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_series_with_a_gap_is_refused_before_anything_is_sent(client: TestClient) -> None:
    answer = series_pixels(client, [slice_file(n) for n in range(SLICES) if n not in (7, 8)])
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_slices")


def test_who_accepts_no_bytes_gets_none(client: TestClient) -> None:
    answer = slice_pixels(client, slice_file(0), headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_the_place_of_a_series_is_free_again_after_its_pixels(client: TestClient) -> None:
    """The service of these tests has one place."""
    files = [slice_file(n) for n in range(SLICES)]
    assert [series_pixels(client, files).status_code for _ in range(3)] == [200] * 3


class Idle(Caller):
    """One who asks for pixels and takes no more than the first of them."""

    path = "/v1/studies/pixels"

    async def _send(self, message: dict[str, Any]) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()


def test_who_takes_nothing_holds_no_place(client: TestClient) -> None:
    """After the longest pause that an upload may make."""
    lane: SeriesLane = client.app.state.services.lane  # type: ignore[attr-defined]  # typed as bare ASGI

    async def scenario() -> None:
        caller = Idle(client.app, multipart([slice_file(n) for n in range(SLICES)]), {"accept-encoding": "gzip"})
        asking = asyncio.create_task(caller.ask())
        while len(caller.received) < 2:
            await asyncio.sleep(0)
        assert len(lane) == 1
        while len(lane):
            await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(scenario())
