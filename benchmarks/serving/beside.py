"""What a caller of single slices notices of a series that is judged at the same time."""

from __future__ import annotations

import http.client
import io
import threading
import zipfile
from typing import Final

import pydicom

from benchmarks.series import rewritten
from benchmarks.serving.closed import drive
from benchmarks.serving.processes import Server
from benchmarks.serving.results import BesideSeries
from benchmarks.serving.slices import Body, Slice

SLICES: Final = 600
PATIENCE_S: Final = 300


def beside_series(server: Server, body: Body, ct_slice: Slice, seconds: float) -> BesideSeries:
    """One caller alone, then while SLICES slices, `ct_slice` at as many places, are received and judged."""
    series = _series(ct_slice)
    alone = drive(server, body, 1, seconds)
    answers: list[int] = []
    posting = threading.Thread(target=lambda: answers.append(_post(server.port, series)))
    posting.start()
    beside = drive(server, body, 1, seconds)
    covered = posting.is_alive()
    posting.join()
    return BesideSeries(SLICES, alone, beside, covered and answers == [http.client.OK])


def _series(ct_slice: Slice) -> bytes:
    written = io.BytesIO()
    dataset = pydicom.dcmread(io.BytesIO(ct_slice.dicom))
    with zipfile.ZipFile(written, "w") as archive:
        for place in range(SLICES):
            archive.writestr(f"{place}.dcm", rewritten(dataset, place))
    return written.getvalue()


def _post(port: int, series: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/v1/studies", series, {"Content-Type": "application/zip"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
