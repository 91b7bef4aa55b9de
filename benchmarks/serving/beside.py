"""What a caller of single slices notices of series that are judged at the same time."""

from __future__ import annotations

import http.client
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import pydicom

from benchmarks.series import rewritten
from benchmarks.serving.closed import drive
from benchmarks.serving.processes import Server
from benchmarks.serving.results import BesideSeries
from benchmarks.serving.slices import Body, Slice

SLICES: Final = 600
PATIENCE_S: Final = 300
BROKEN: Final = 0  # in place of a status

T = TypeVar("T")


def beside_series(server: Server, body: Body, ct_slice: Slice, seconds: float, rounds: int) -> Iterator[BesideSeries]:
    """One caller alone, then while series of SLICES slices, `ct_slice` at as many places, are received and judged;
    again and again."""
    series = _series(ct_slice)
    for _ in range(rounds):
        alone = drive(server, body, 1, seconds)
        beside, statuses = while_repeated(
            partial(post_series, server.port, series), lambda: drive(server, body, 1, seconds)
        )
        yield BesideSeries(SLICES, len(statuses), alone, beside, valid=set(statuses) == {http.client.OK})


def while_repeated(request: Callable[[], int], measure: Callable[[], T]) -> tuple[T, list[int]]:
    """What `measure` finds while `request` is made again and again, and the status of each, in turn.

    `measure` begins after the first and ends before the last, unless one was not answered 200: none follows it.
    """
    statuses: list[int] = []
    begun, enough = threading.Event(), threading.Event()

    def repeat() -> None:
        begun.set()
        while not enough.is_set():
            statuses.append(request())
            if statuses[-1] != http.client.OK:
                return

    with ThreadPoolExecutor(1) as executor:
        repeating = executor.submit(repeat)
        begun.wait()
        try:
            measured = measure()
        finally:
            enough.set()
        repeating.result()
    return measured, statuses


def _series(ct_slice: Slice) -> bytes:
    written = io.BytesIO()
    dataset = pydicom.dcmread(io.BytesIO(ct_slice.dicom))
    with zipfile.ZipFile(written, "w") as archive:
        for place in range(SLICES):
            archive.writestr(f"{place}.dcm", rewritten(dataset, place))
    return written.getvalue()


def post_series(port: int, series: bytes) -> int:
    """The status of the answer to a zip, once all of it was read, or BROKEN."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/v1/studies", series, {"Content-Type": "application/zip"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return BROKEN
    finally:
        connection.close()
