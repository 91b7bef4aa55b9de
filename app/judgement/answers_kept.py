"""The answers about a series that are kept for whoever asks for a job: one in each language, in one document."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args

from pydantic_core import from_json, to_json

from app.inference.vocabulary import Language
from app.judgement.answers import answer
from app.judgement.formats import note_unwritten
from app.judgement.judge import Judgement
from app.reports.report import Report
from app.reports.result import ResultObject, SeriesResult
from app.telemetry import Metrics

KIND: Final = "answer"
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


def with_answers(result: SeriesResult, judgement: Judgement, report: Report, metrics: Metrics) -> SeriesResult:
    """The results of a series and the answers, from which `answer_in` reads; `report` names its study and series."""
    source = report.sources[0]
    study, series = source.study_instance_uid or "", source.series_instance_uid or ""
    try:
        content = to_json({each: answer(judgement, each, "") for each in LANGUAGES}, inf_nan_mode="null")
    except MemoryError:
        raise
    # As for the other formats: it costs no other result.
    except Exception as error:
        note_unwritten(metrics, KIND, error)
        return replace(result, unwritten=(*result.unwritten, KIND))
    written = ResultObject(report.instance_uid(KIND), KIND, study, series, "{}", content, to=frozenset())
    return replace(result, objects=[*result.objects, written])


def answer_in(language: Language, answers: bytes, request_id: str) -> dict[str, object]:
    """The answer in a language, as the request with this id would have got it, of `app.judgement.answer_types.Answer`
    in plain values."""
    found: dict[str, object] = from_json(answers)[language]
    return {**found, "request_id": request_id}
