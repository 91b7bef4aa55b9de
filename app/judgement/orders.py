"""What each destination gets of a series: which objects, in which language, as which message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import to_json

from app.inference.vocabulary import Language
from app.judgement.answers import answer
from app.judgement.formats import note_unwritten, series_result, stored_pictures
from app.judgement.judge import Judgement
from app.judgement.result_digest import result_of
from app.reports.hl7 import MessageOptions, Subject, write_oru, write_oru_unprocessed
from app.reports.report import Report, derived_uid
from app.reports.result import ObjectKind, Part, ResultObject, SeriesResult
from app.telemetry import Metrics

Identifier: TypeAlias = Literal["accession_number", "patient_id"]
PARTS: Final[tuple[Part, ...]] = ("report", "key_images", "pictures", "map", "outlines")
KEYWORDS: Final[dict[Identifier, str]] = {"accession_number": "AccessionNumber", "patient_id": "PatientID"}


@dataclass(frozen=True, slots=True)
class Order:
    """What one destination gets of each series.

    `parts` are the DICOM objects, `language` is that of pictures, of the words in JSON and of HL7; `identifiers` stand
    in JSON beside the UIDs.
    """

    destination: str
    kind: ObjectKind
    language: Language = "en"
    parts: frozenset[Part] = frozenset(PARTS)
    identifiers: frozenset[Identifier] = frozenset()
    message: MessageOptions = field(default_factory=MessageOptions)

    def takes(self, item: ResultObject, language: Language) -> bool:
        """Whether the destination gets an object that was written in this language."""
        if self.kind != item.kind or not (item.part is None or item.part in self.parts):
            return False
        return item.part != "pictures" or language == self.language


def ordered_results(
    judgement: Judgement,
    report: Report,
    wanted: Collection[ObjectKind],
    orders: Sequence[Order],
    metrics: Metrics,
    pdf: Callable[[], bytes] | None = None,
) -> SeriesResult:
    """The result objects of a series, each addressed to the destinations that ordered it; pictures in every language
    that is asked for, all else in the first. `pdf` writes the case report that a FHIR bundle holds.

    Raises NoDicomSource, and ResultNotWritten when neither DICOM nor FHIR can be written.
    """
    languages = list(dict.fromkeys(order.language for order in orders if order.kind == "dicom")) or [report.language]
    result = series_result(replace(report, language=languages[0]), wanted, metrics, pdf)
    unwritten = [*result.unwritten]
    objects = _addressed(result.objects, orders, languages[0])
    for language in languages[1:]:
        pictures = stored_pictures(replace(report, language=language), metrics, unwritten.append)
        objects += _addressed(pictures, orders, language)
    for order in orders:
        if order.kind in ("json", "hl7"):
            objects += _message(order, partial(_write, judgement, report), metrics, unwritten.append)
    return SeriesResult(objects, result.report, tuple(dict.fromkeys(unwritten)))


def ordered_refusal(
    report: ResultObject, subject: Subject, code: str, words: str, orders: Sequence[Order], metrics: Metrics
) -> list[ResultObject]:
    """What is said of a series that was not judged: the report to those who get reports, and a message to those who get
    messages."""
    objects = _addressed([report], orders, "en")
    reason = {"code": code, "message": words}

    def write(order: Order) -> ResultObject:
        uid = derived_uid(order.kind, "unprocessed", subject.series_uid, order.destination, code, subject.written)
        if order.kind == "hl7":
            content = write_oru_unprocessed(subject, uid, order.message, code, words)
        else:
            content = _event("series.not_processed", subject, order, {"reason": reason})
        return _object(uid, order, subject, content)

    for order in orders:
        if order.kind in ("json", "hl7"):
            objects += _message(order, write, metrics, lambda _: None)
    return objects


def _addressed(items: Iterable[ResultObject], orders: Sequence[Order], language: Language) -> list[ResultObject]:
    return [
        replace(item, to=frozenset(order.destination for order in orders if order.takes(item, language)))
        for item in items
    ]


def _message(
    order: Order, write: Callable[[Order], ResultObject], metrics: Metrics, told: Callable[[str], None]
) -> list[ResultObject]:
    try:
        return [write(order)]
    except MemoryError:
        raise
    # As for the other formats: it costs no other result.
    except Exception as error:
        note_unwritten(metrics, order.kind, error)
        told(order.kind)
        return []


def _write(judgement: Judgement, report: Report, order: Order) -> ResultObject:
    source = report.sources[0]
    study, series = source.study_instance_uid or "", source.series_instance_uid or ""
    subject = Subject(report.source_headers[0], study, series, report.written, dated=not report.deidentified)
    if order.kind == "hl7":
        uid = report.instance_uid("hl7", order.destination)
        return _object(uid, order, subject, write_oru(report, uid, order.message))
    uid = report.instance_uid("json", order.destination)
    data: dict[str, Any] = {"report_uid": report.instance_uid("sr")}
    if report.replaced is not None:
        data["replaces_report_uid"] = report.replaced.uid
    data["result"] = result_of(answer(judgement, order.language, ""))
    return _object(uid, order, subject, _event("series.judged", subject, order, data))


def _event(kind: str, subject: Subject, order: Order, data: dict[str, Any]) -> bytes:
    """The body of a webhook: its type, when it happened, and the data, as Standard Webhooks recommends."""
    about = {"study_instance_uid": subject.study_uid, "series_instance_uid": subject.series_uid}
    for name, keyword in KEYWORDS.items():
        if name in order.identifiers:
            about[name] = subject.text(keyword)
    when = {"timestamp": subject.written.isoformat()} if subject.dated else {}
    return to_json({"type": kind, **when, "data": {**about, **data}}, inf_nan_mode="null")


def _object(uid: str, order: Order, subject: Subject, content: bytes) -> ResultObject:
    to = frozenset({order.destination})
    return ResultObject(uid, order.kind, subject.study_uid, subject.series_uid, "{}", content, to=to)
