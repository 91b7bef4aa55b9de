"""Answers in other formats than JSON: which one a caller asks for, and the bytes of it.

Writing takes tenths of a second, and the first DICOM objects of a process half a second more for their library: run it
where the image is judged, off the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, Literal, TypeAlias

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from app.api import events
from app.api.accepted import KNOWN_HEADERS, accept_header, accepted, parsed
from app.api.judging import shown_instances
from app.api.related import DICOM, RELATED, related
from app.api.renderings import dicom_files, fhir_bundle
from app.explain.canvas import to_png
from app.explain.overlay import draw
from app.imaging.ct import CTSlice, PointPx
from app.imaging.header import read_header
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from app.inference.detector import Detector
from app.inference.model import Model
from app.inference.prediction import Prediction
from app.inference.vocabulary import Language
from app.reports.report import Report
from app.telemetry import Metrics

Format: TypeAlias = Literal["json", "events", "dicom", "fhir", "picture"]
Renderer: TypeAlias = Callable[[CTSlice, Prediction], "Rendered"]

JSON: Final = "application/json"
FHIR: Final = "application/fhir+json"
PNG: Final = "image/png"
FORMATS: Final[dict[str, Format]] = {
    JSON: "json",
    events.MEDIA_TYPE: "events",
    DICOM: "dicom",
    RELATED: "dicom",
    FHIR: "fhir",
    PNG: "picture",
}
OF_SERIES: Final = (JSON, DICOM, RELATED, FHIR)
OF_SLICE: Final = (*OF_SERIES, PNG)

BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
BUNDLE: Final = {"schema": {"type": "object", "description": "A FHIR R4 Bundle."}}
SERIES_CONTENT: Final[dict[str, Any]] = {f'{RELATED}; type="{DICOM}"': BINARY, FHIR: BUNDLE}
SLICE_CONTENT: Final[dict[str, Any]] = {**SERIES_CONTENT, PNG: BINARY}


@dataclass(frozen=True, slots=True)
class Rendered:
    """One answer, in parts that are never joined: the pictures of a series have tens of megabytes."""

    parts: tuple[bytes, ...]
    content_type: str

    def response(self, headers: dict[str, str]) -> Response:
        """With further headers."""
        own = {"Content-Type": self.content_type, "Content-Length": str(sum(map(len, self.parts)))}
        return StreamingResponse(iter(self.parts), headers={**headers, **own})


def slice_format(request: Request) -> Format:
    """What a caller who sends a slice asks for; JSON where it does not matter. Raises NotAcceptable."""
    return _slice_format(accept_header(request))


@lru_cache(maxsize=KNOWN_HEADERS)
def _slice_format(header: str) -> Format:
    return FORMATS[parsed(header).best(*OF_SLICE)]


def series_format(request: Request) -> Format:
    """As `slice_format`, for a series. Events are for those who name them: a wildcard does not."""
    named = (events.MEDIA_TYPE,) if events.wanted(request.headers.get("accept")) else ()
    return FORMATS[accepted(request).best(*named, *OF_SERIES)]


def slice_renderer(
    wanted: Format,
    data: bytes | memoryview,
    roi_px: PointPx | None,
    model: Model,
    detector: Detector,
    language: Language,
    metrics: Metrics,
) -> Renderer | None:
    """What writes the answer to the one image whose file is `data`; None for JSON, which `app.api.answers` writes.

    The renderer raises NoDicomSource and ResultNotWritten.
    """
    if wanted == "json":
        return None

    def render_slice(ct_slice: CTSlice, prediction: Prediction) -> Rendered:
        is_dicom = ct_slice.source.kind == "dicom"
        headers = [read_header(BytesIO(data))] if is_dicom else []
        digest = detector.digest if roi_px is None else None
        report = Report(prediction, ct_slice, headers, model.bundle, _now(), roi_px, digest, language)
        if wanted == "picture":
            picture = draw(ct_slice, prediction, model=report.model_line, language=language)
            return Rendered((to_png(picture),), PNG)
        return _report(report, wanted, metrics)

    return render_slice


def render_series(
    wanted: Format,
    prediction: Prediction,
    volume: CTVolume,
    builder: SeriesBuilder,
    model: Model,
    detector: Detector,
    language: Language,
    metrics: Metrics,
) -> Rendered:
    """The answer to a series as DICOM or FHIR; `builder` has kept its headers. Raises NoDicomSource and
    ResultNotWritten."""
    headers = builder.headers(shown_instances(prediction, volume))
    digest = detector.digest
    report = Report(prediction, volume, headers, model.bundle, _now(), detector_digest=digest, language=language)
    return _report(report, wanted, metrics)


def _report(report: Report, wanted: Format, metrics: Metrics) -> Rendered:
    if wanted == "fhir":
        return Rendered((fhir_bundle(report, metrics),), FHIR)
    content_type, body = related(dicom_files(report, metrics))
    return Rendered(tuple(body), content_type)


def _now() -> datetime:
    return datetime.now().astimezone()
