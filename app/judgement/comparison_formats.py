"""Writes a comparison in every format, from the same pair. Call it in the thread that judges."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

from pydantic_core import to_json

from app.errors import NoDicomSource
from app.inference.vocabulary import Language
from app.judgement.comparing import ComparedPair
from app.judgement.comparison_answers import ComparisonAnswer, comparison_answer
from app.judgement.comparison_page import comparison_page
from app.judgement.formats import Format, not_written, note_unwritten, page_as_pdf
from app.reports.compared import ComparedReport
from app.reports.page import CasePage
from app.reports.page_html import write_html
from app.reports.transfer_syntax import uncompressed
from app.telemetry import Metrics


def render_comparison(
    pair: ComparedPair,
    wanted: Format,
    language: Language,
    request_id: str,
    timing_ms: dict[str, float],
    metrics: Metrics,
) -> tuple[bytes, ...]:
    """The file of one format: nothing but it is made.

    Raises NoDicomSource, and ResultNotWritten where it cannot be written.
    """
    if wanted == "json":
        return (to_json(comparison_answer(pair, language, request_id, timing_ms), inf_nan_mode="null"),)
    if wanted in ("html", "pdf"):
        page = page_of(pair, language)
        return (write_html(page) if wanted == "html" else page_as_pdf(page),)
    report = pair.with_headers(pair.report(datetime.now().astimezone(), language))
    if wanted == "fhir":
        paper = page_as_pdf(page_of(pair, language)) if pair.parameters.pdf else None
        return (comparison_bundle(report, metrics, paper),)
    written = comparison_report(report, metrics)
    return (uncompressed(written) if wanted == "uncompressed_dicom" else written,)


def page_of(pair: ComparedPair, language: Language) -> CasePage:
    """The page for people."""
    said: Any = comparison_answer(pair, language, "", {})
    return comparison_page(pair, cast(ComparisonAnswer, said), language, datetime.now().astimezone())


def comparison_report(report: ComparedReport, metrics: Metrics) -> bytes:
    """The structured report as a file (PS3.10); raises NoDicomSource, ResultNotWritten."""
    # Imports highdicom, with what it reads half a second and 85 MB: for those who want DICOM.
    from app.reports.comparison_report import write_comparison_report
    from app.reports.dicom import quiet_highdicom, to_bytes

    for each in (report.current, report.prior):
        each.require_uids()
        each.slices()  # raises where a header is missing
    quiet_highdicom()
    try:
        return to_bytes(write_comparison_report(report))
    except (MemoryError, NoDicomSource):
        raise
    # Whatever a header did to it: the comparison can be had in another format.
    except Exception as error:
        note_unwritten(metrics, "sr", error)
        raise not_written("a comparison that cannot be written as DICOM") from None


def comparison_bundle(report: ComparedReport, metrics: Metrics, pdf: bytes | None = None) -> bytes:
    """The FHIR R4 bundle, in UTF-8; raises ResultNotWritten."""
    # Imports fhir.resources, 0.1 s: for those who want FHIR.
    from app.reports.fhir_comparison import write_comparison_bundle

    try:
        return json.dumps(write_comparison_bundle(report, pdf), ensure_ascii=False).encode()
    except MemoryError:
        raise
    # As above.
    except Exception as error:
        note_unwritten(metrics, "fhir", error)
        raise not_written("a comparison that cannot be written as FHIR") from None
