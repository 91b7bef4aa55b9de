"""A request for everything that a service answers: when all are answered it has imported whatever it ever needs.

The images are generated.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.serving.processes import Server, resident_bytes
from phantoms.series import SLICES, slice_file, zipped
from phantoms.slices import (
    ENCODERS,
    EXAMPLE_NODULE,
    WINDOW_16_BIT,
    PixelCoding,
    derived_uid,
    dicom,
    example_slice,
    picture,
    small,
    windowed,
)

PATIENCE_S: Final = 120.0
MB: Final = 1_000_000
BOUNDARY: Final = "every-answer"
DICOM: Final = "application/dicom"
RELATED: Final = f'multipart/related; type="{DICOM}"'
FHIR: Final = "application/fhir+json"
PAGES: Final = (
    *("/health", "/health/live", "/health/ready", "/metrics", "/v1/models", "/v1/models/nodule-classifier/card"),
    *("/openapi.json", "/docs", "/redoc"),
)
INSTANCES: Final = "/dicom-web/instances"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and what it is for; without a body it is a GET."""

    what: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """Milliseconds of the first answer of its kind and of the next; MB resident in the process after both."""

    what: str
    first_ms: float
    again_ms: float
    resident_mb: float


def slices() -> Iterator[Asked]:
    """A slice in every format, as a caller who never wants more than JSON would begin."""
    column, row = EXAMPLE_NODULE.centre_px
    data, roi = example_slice(), f"/v1/predict?roi={column},{row}"
    window = f"window={WINDOW_16_BIT.centre_hu},{WINDOW_16_BIT.width_hu}"
    yield Asked("slice with roi, JSON", roi, data)
    yield Asked("slice with roi, JSON with evidence", f"{roi}&explain=true", data)
    yield Asked("slice, JSON", "/v1/predict", data)
    yield Asked("slice as PNG, JSON", f"/v1/predict?{window}", picture(windowed(small(), WINDOW_16_BIT, 16)))
    yield Asked("slice, picture", roi, data, {"Accept": "image/png"})
    yield Asked("slice, DICOM objects", roi, data, {"Accept": RELATED})
    yield Asked("slice, FHIR bundle", roi, data, {"Accept": FHIR})
    yield Asked("slice, case report as HTML", roi, data, {"Accept": "text/html"})
    yield Asked("slice, case report as PDF", roi, data, {"Accept": "application/pdf"})


def syntaxes() -> Iterator[Asked]:
    """A slice in every transfer syntax that needs a decoder."""
    for syntax in ENCODERS:
        yield Asked(syntax.name, "/v1/predict", dicom(small(), PixelCoding(transfer_syntax=syntax)))


def series() -> Iterator[Asked]:
    """A series in every format."""
    body = zipped([slice_file(index) for index in range(SLICES)])
    for what, accept in (
        ("series, JSON", "application/json"),
        ("series, events", "application/x-ndjson"),
        ("series, DICOM objects", RELATED),
        ("series, FHIR bundle", FHIR),
    ):
        yield Asked(what, "/v1/studies", body, {"Content-Type": "application/zip", "Accept": accept})


def stored() -> Asked:
    """The series by STOW-RS."""
    head = f"--{BOUNDARY}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    parts = b"".join(head + slice_file(index) + b"\r\n" for index in range(SLICES))
    headers = {"Content-Type": f'{RELATED}; boundary="{BOUNDARY}"'}
    return Asked("series by STOW-RS", "/dicom-web/studies", parts + f"--{BOUNDARY}--\r\n".encode(), headers)


def results() -> Iterator[Asked]:
    """What became of the stored series."""
    study = f"/dicom-web/studies/{derived_uid('study')}"
    yield Asked("results, QIDO-RS", f"{INSTANCES}?Modality=SR")
    yield Asked("results, WADO-RS", study, headers={"Accept": RELATED})
    yield Asked("results, WADO-RS metadata", f"{study}/metadata")


def pages() -> Iterator[Asked]:
    """What is not about an image."""
    return (Asked(path, path) for path in PAGES)


def ask(server: Server, asked: Asked) -> Answered:
    """Send it twice; raises HTTPError unless both are answered with success."""
    first_ms, again_ms = (_milliseconds(server.port, asked) for _ in range(2))
    return Answered(asked.what, first_ms, again_ms, resident_bytes(server.process.pid) / MB)


def has_results(port: int) -> bool:
    """Whether the stored series has been judged."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{INSTANCES}", timeout=PATIENCE_S) as response:
        found: list[Any] = json.load(response)
    return bool(found)


def _milliseconds(port: int, asked: Asked) -> float:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{asked.path}", asked.body, dict(asked.headers))
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        response.read()
    return (time.perf_counter() - started) * 1000
