"""The answer of `/v1/reports`."""

from __future__ import annotations

from typing import Final

from app.api.uploads.report import ReportUpload
from app.imaging.ct import QualityNote
from app.judgement.answer_types import DISCLAIMER, ModelRef, QualityOut
from app.text.answers import ReportOut, report_out
from app.text.reader import Reading, TaggerState

LANGUAGE_ASSUMED: Final = QualityNote(
    "language_assumed", "info", "The language was told by the script of the characters; state it with `language`."
)
WITHOUT_TAGGER: Final[dict[TaggerState, QualityNote]] = {
    "absent": QualityNote("tagger_absent", "warning", "This service has no tagger: sentences were read by rules."),
    "loading": QualityNote("tagger_loading", "warning", "The tagger is loading: sentences were read by rules."),
    "failed": QualityNote("tagger_failed", "warning", "The tagger cannot be used: sentences were read by rules."),
    "language_not_carried": QualityNote(
        "language_not_carried", "info", "The tagger was not trained on this language: sentences were read by rules."
    ),
}


class ReportAnswer(ReportOut):
    """What one report states; `tagger` is null where rules alone read it."""

    request_id: str
    tagger: ModelRef | None
    quality: list[QualityOut]
    timing_ms: dict[str, float]
    disclaimer: str


def report_answer(upload: ReportUpload, reading: Reading, request_id: str, total_ms: float) -> ReportAnswer:
    """The answer to one report."""
    notes = [] if upload.language is not None else [LANGUAGE_ASSUMED]
    if (note := WITHOUT_TAGGER.get(reading.tagger_state)) is not None:
        notes.append(note)
    return ReportAnswer(
        **report_out(upload.text, reading),
        request_id=request_id,
        tagger=tagger_identity(reading),
        quality=[QualityOut(code=each.code, severity=each.severity, message=each.message) for each in notes],
        timing_ms={"total": round(total_ms, 2)},
        disclaimer=DISCLAIMER,
    )


def tagger_identity(reading: Reading) -> ModelRef | None:
    """Name, version and digest of the tagger that labelled the sentences."""
    if (tagger := reading.tagger) is None:
        return None
    manifest = tagger.manifest
    return ModelRef(name=manifest.name, version=str(manifest.version), digest=tagger.digest)
