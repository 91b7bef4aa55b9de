"""Writes a judgement as an answer in JSON (`app.judgement.answer_types`)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json

from app.imaging.ct import QualityNote
from app.inference.bundle import Bundle
from app.inference.detector import Detector
from app.inference.prediction import Evidence, Finding, KeySlice, Prediction, SecondOpinion, SliceRef, Trait
from app.inference.sequence import NoduleSequence
from app.inference.suspicion import ScanPoint, SecondLook
from app.inference.view import ViewCheck
from app.inference.vocabulary import DECISION_WORDS, Language, trait_word
from app.judgement.answer_types import (
    DISCLAIMER,
    Answer,
    ComparedReportOut,
    EvidenceOut,
    FindingOut,
    KeySliceOut,
    ModelRef,
    QualityOut,
    ScanOut,
    SecondOpinionOut,
    SeriesOut,
    SliceOut,
    SourceOut,
    TraitOut,
)
from app.judgement.guideline_answers import guidelines_out
from app.judgement.guideline_case import guidance_on
from app.judgement.judge import Judgement
from app.judgement.size_answers import location_out, lungs_out, size_out


def answer(
    judgement: Judgement, language: Language, request_id: str, report: ComparedReportOut | None = None
) -> Answer:
    """The answer of one judgement, with the `report` that came with it; remarks about the request come before those
    about the image."""
    prediction, detector = judgement.prediction, judgement.detector
    written = Answer(
        request_id=request_id,
        decision=prediction.decision,
        display=DECISION_WORDS[prediction.decision][language],
        probability=prediction.probability,
        operating_point=prediction.operating_point,
        prediction_set=list(prediction.prediction_set),
        findings=[_finding(finding, language, judgement) for finding in prediction.findings],
        reasons=list(prediction.reasons),
        quality=_remarks((*judgement.parameters.notes, *prediction.quality)),
        model=identity(judgement.bundle),
        source=_source(prediction),
        timing_ms={name: round(ms, 2) for name, ms in judgement.timing_ms.items()},
        disclaimer=DISCLAIMER,
    )
    if detector is not None:
        written["detector"] = identity(detector)
    if judgement.second_look is not None:
        written["second_look"] = identity(judgement.second_look)
    if prediction.point is not None:
        written["scan"] = _scan(prediction, prediction.point)
    if report is not None:
        written["report"] = report
    if prediction.series is not None:
        written["key_slices"] = [_key_slice(key) for key in prediction.series.key_slices]
    if (lungs := lungs_out(prediction)) is not None:
        written["lungs"] = lungs
    if judgement.parameters.guidelines:
        written["guidelines"] = guidelines_out(guidance_on(judgement.prediction, judgement.parameters))
    if judgement.warnings:
        written["warnings"] = _remarks(judgement.warnings)
    return written


def json_answer(
    judgement: Judgement, language: Language, request_id: str, report: ComparedReportOut | None = None
) -> bytes:
    """The answer of one judgement, as JSON text in UTF-8."""
    return to_json(answer(judgement, language, request_id, report), inf_nan_mode="null")


def identity(bundle: Bundle | Detector | SecondLook | ViewCheck | NoduleSequence) -> ModelRef:
    """Name, version and digest of a model."""
    return ModelRef(name=bundle.manifest.name, version=str(bundle.manifest.version), digest=bundle.digest)


def _remarks(notes: Sequence[QualityNote]) -> list[QualityOut]:
    return [QualityOut(code=note.code, severity=note.severity, message=note.message) for note in notes]


def _finding(finding: Finding, language: Language, judgement: Judgement) -> FindingOut:
    written = FindingOut(
        id=finding.id,
        center_px=finding.center_px,
        center_mm=finding.center_mm,
        nodule_probability=finding.nodule_probability,
        probability=finding.probability,
        diameter_mm=None if finding.diameter_mm is None else round(finding.diameter_mm, 2),
        size=None if finding.size is None else size_out(finding.size, language),
        location=location_out(finding, judgement.prediction, language),
        traits={trait.name: _trait(trait, language) for trait in finding.traits},
        outline_px=finding.outline_px.round(2).tolist(),
    )
    if finding.detector_score is not None:
        written["detector_score"] = round(finding.detector_score, 3)
    if finding.suspicion_score is not None:
        written["suspicion_score"] = round(finding.suspicion_score, 3)
    if finding.suspicion is not None:
        written["suspicion"] = finding.suspicion
    if judgement.parameters.explain and finding.probability is not None:
        written["evidence"] = _evidence(finding.evidence)
    if finding.slice is not None:
        written["slice"] = _slice(finding.slice)
    if finding.slices:
        written["slices"] = [_slice(ref) for ref in finding.slices]
    if finding.second_opinion is not None and judgement.sequence is not None:
        written["second_opinion"] = _opinion(finding.second_opinion, judgement.sequence)
    return written


def _opinion(opinion: SecondOpinion, network: NoduleSequence) -> SecondOpinionOut:
    return SecondOpinionOut(
        probability=opinion.probability, slices=opinion.slices, reason=opinion.reason, model=identity(network)
    )


def _scan(prediction: Prediction, point: ScanPoint) -> ScanOut:
    scores = [f.suspicion_score for f in prediction.findings if f.suspicion_score is not None]
    return ScanOut(
        score=round(max(scores), 3) if scores else None,
        listed_from=point.listed_from,
        open_from=point.open_from,
        suspected_from=point.suspected_from,
    )


def _slice(ref: SliceRef) -> SliceOut:
    return SliceOut(index=ref.index, sop_instance_uid=ref.sop_instance_uid)


def _trait(trait: Trait, language: Language) -> TraitOut:
    word = trait_word(trait.name, trait.value, language)
    return TraitOut(value=round(trait.value, 2), scale=trait.scale, display=word)


def _evidence(evidence: Evidence) -> EvidenceOut:
    height, width = evidence.values.shape
    values = evidence.values.round(4).tolist()
    return EvidenceOut(shape=(height, width), rectangle_px=evidence.rectangle_px, values=values)


def _key_slice(key: KeySlice) -> KeySliceOut:
    ref = key.slice
    return KeySliceOut(index=ref.index, sop_instance_uid=ref.sop_instance_uid, findings=list(key.finding_ids))


def _source(prediction: Prediction) -> SourceOut:
    source, series = prediction.source, prediction.series
    written = SourceOut(
        kind=source.kind,
        rows=source.rows,
        columns=source.columns,
        frame=source.frame,
        pixel_spacing_mm=prediction.spacing_mm,
    )
    if series is not None:
        written["series"] = SeriesOut(
            series_instance_uid=series.series_instance_uid,
            study_instance_uid=series.study_instance_uid,
            slices=series.slices,
            slice_spacing_mm=series.slice_spacing_mm,
        )
    return written
