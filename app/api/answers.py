"""Writes what goes over the wire (`app.api.schemas`) from `app.inference` objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from app.api.schemas import (
    DISCLAIMER,
    Answer,
    DetectorDetail,
    EvidenceOut,
    FindingOut,
    KeySliceOut,
    ModelDetail,
    ModelRef,
    ModelSummary,
    QualityOut,
    SeriesOut,
    SliceOut,
    SourceOut,
    TraitOut,
)
from app.imaging.ct import QualityNote
from app.inference.bundle import Bundle
from app.inference.detector import Detector
from app.inference.prediction import Evidence, Finding, KeySlice, Prediction, SliceRef, Trait
from app.inference.registry import ModelRegistry
from app.inference.vocabulary import DECISION_WORDS, Language, trait_word


def answer(
    prediction: Prediction,
    bundle: Bundle,
    detector: Detector | None,
    *,
    request_id: str,
    language: Language,
    explain: bool,
    timing_ms: Mapping[str, float],
    notes: Sequence[QualityNote] = (),
) -> Answer:
    """Write one prediction; `detector` is what searched, if anything did; `notes` are remarks about the request, put
    before those about the image."""
    written = Answer(
        request_id=request_id,
        decision=prediction.decision,
        display=DECISION_WORDS[prediction.decision][language],
        probability=prediction.probability,
        operating_point=prediction.operating_point,
        prediction_set=list(prediction.prediction_set),
        findings=[_finding(finding, language, explain=explain) for finding in prediction.findings],
        reasons=list(prediction.reasons),
        quality=[
            QualityOut(code=n.code, severity=n.severity, message=n.message) for n in (*notes, *prediction.quality)
        ],
        model=_identity(bundle),
        source=_source(prediction),
        timing_ms={name: round(ms, 2) for name, ms in timing_ms.items()},
        disclaimer=DISCLAIMER,
    )
    if detector is not None:
        written["detector"] = _identity(detector)
    if prediction.series is not None:
        written["key_slices"] = [_key_slice(key) for key in prediction.series.key_slices]
    return written


def as_json(written: Answer) -> bytes:
    """An answer as it is sent."""
    return to_json(written, inf_nan_mode="null")


def model_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of the model that judges."""
    return _summary(registry, registry.bundle, registry.backend_name)


def detector_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of the model that searches."""
    detector = registry.detector_bundle
    return _summary(registry, detector, detector.backend.name)


def model_detail(registry: ModelRegistry) -> ModelDetail:
    """What the manifest says, without arrays and file digests, and the operating point in force."""
    manifest = registry.bundle.manifest
    return ModelDetail(
        **model_summary(registry).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        labels=[label.model_dump() for label in manifest.labels],
        operating_point=manifest.operating_point,
        operating_point_in_force=registry.threshold,
        conformal_coverage=manifest.conformal.coverage,
        nodule_threshold=manifest.nodule_threshold,
        training_data=list(manifest.training_data),
        performance=manifest.performance,
    )


def detector_detail(registry: ModelRegistry) -> DetectorDetail:
    """As `model_detail`, of the model that searches."""
    manifest = registry.detector_bundle.manifest
    return DetectorDetail(
        **detector_summary(registry).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        slice_threshold=manifest.slice_threshold,
        series_threshold=manifest.series_threshold,
        second_reader=manifest.second_reader,
        training_data=list(manifest.training_data),
        hard_negatives=list(manifest.hard_negatives),
        performance=manifest.performance,
    )


def _summary(registry: ModelRegistry, bundle: Bundle | Detector, backend: str) -> ModelSummary:
    return ModelSummary(
        **_identity(bundle),
        description=bundle.manifest.description,
        backend=backend,
        status=registry.status,
    )


def _identity(bundle: Bundle | Detector) -> ModelRef:
    return ModelRef(name=bundle.manifest.name, version=str(bundle.manifest.version), digest=bundle.digest)


def _finding(finding: Finding, language: Language, *, explain: bool) -> FindingOut:
    written = FindingOut(
        id=finding.id,
        center_px=finding.center_px,
        center_mm=finding.center_mm,
        nodule_probability=finding.nodule_probability,
        probability=finding.probability,
        diameter_mm=None if finding.diameter_mm is None else round(finding.diameter_mm, 2),
        traits={trait.name: _trait(trait, language) for trait in finding.traits},
        outline_px=finding.outline_px.round(2).tolist(),
    )
    if finding.detector_score is not None:
        written["detector_score"] = round(finding.detector_score, 3)
    if explain and finding.probability is not None:
        written["evidence"] = _evidence(finding.evidence)
    if finding.slice is not None:
        written["slice"] = _slice(finding.slice)
    if finding.slices:
        written["slices"] = [_slice(ref) for ref in finding.slices]
    return written


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
