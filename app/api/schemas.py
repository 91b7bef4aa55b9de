"""What goes over the wire, as pydantic models; written from `app.inference` objects and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.imaging.ct import PointMm, PointPx, QualityNote
from app.inference.bundle import Bundle, OperatingPoint, Performance, TrainingData
from app.inference.bundle import Finding as Label
from app.inference.prediction import Evidence, Finding, Prediction, Trait
from app.inference.registry import ModelRegistry, Status
from app.inference.vocabulary import DECISION_WORDS, Decision, Language, trait_word

DISCLAIMER = "Research use only. Not a medical device."


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True)


class TraitOut(_Schema):
    """A rating on its LIDC scale and the word for it."""

    value: float
    scale: tuple[int, int]
    display: str


class EvidenceOut(_Schema):
    """Class-activation map of malignancy, rows of numbers from 0 to 1, and the rectangle it covers."""

    shape: tuple[int, int]
    rectangle_px: Annotated[
        tuple[float, float, float, float], Field(description="left, top, right, bottom; pixel borders included")
    ]
    values: list[list[float]]


class FindingOut(_Schema):
    """One nodule."""

    id: int
    center_px: Annotated[PointPx, Field(description="column, row of the sent image")]
    center_mm: Annotated[PointMm | None, Field(description="DICOM patient coordinates; null when unknown")]
    nodule_probability: float
    probability: Annotated[float | None, Field(description="calibrated; null when not judged")]
    diameter_mm: Annotated[float | None, Field(description="of the circle with the outline's area")]
    traits: dict[str, TraitOut]
    outline_px: list[PointPx]
    evidence: Annotated[
        EvidenceOut | None, Field(exclude_if=lambda value: value is None, description="only with explain=true")
    ] = None


class QualityOut(_Schema):
    """A remark about what was sent."""

    code: str
    severity: Literal["info", "warning", "error"]
    message: str


class ModelRef(_Schema):
    """Which model answered."""

    name: str
    version: str
    digest: str


class SourceOut(_Schema):
    """What was sent."""

    kind: Literal["dicom", "png", "jpeg", "tiff", "array"]
    rows: int
    columns: int
    frame: int | None
    pixel_spacing_mm: Annotated[tuple[float, float], Field(description="between rows, between columns")]


class Answer(_Schema):
    """The judgement of one slice."""

    request_id: str
    decision: Decision
    display: str
    probability: Annotated[float | None, Field(ge=0, le=1, description="null exactly when rejected")]
    operating_point: float
    prediction_set: list[Label]
    findings: list[FindingOut]
    reasons: Annotated[list[str], Field(description="stable codes: why it was rejected or left open")]
    quality: list[QualityOut]
    model: ModelRef
    source: SourceOut
    timing_ms: dict[str, float]
    disclaimer: str = DISCLAIMER


class ModelSummary(_Schema):
    """Identity and state of a loaded model."""

    name: str
    version: str
    digest: str
    description: str
    backend: str
    status: Status


class ModelList(_Schema):
    """The models of this service."""

    models: list[ModelSummary]


class ModelDetail(ModelSummary):
    """Everything about a model but its weights."""

    intended_use: str
    created: str
    input: dict[str, object]
    labels: list[dict[str, str]]
    operating_point: OperatingPoint
    conformal_coverage: float
    nodule_threshold: float
    training_data: list[TrainingData]
    performance: Performance


class Health(_Schema):
    """Whether the service lives, or may get traffic, and why not."""

    status: Literal["ok", "unavailable"]
    reason: str


def answer(
    prediction: Prediction,
    bundle: Bundle,
    *,
    request_id: str,
    language: Language,
    explain: bool,
    timing_ms: dict[str, float],
    notes: Sequence[QualityNote] = (),
) -> Answer:
    """Write one prediction; `notes` are remarks about the request, put before those about the image."""
    return Answer(
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
        model=ModelRef(**_identity(bundle)),
        source=SourceOut(
            kind=prediction.source.kind,
            rows=prediction.source.rows,
            columns=prediction.source.columns,
            frame=prediction.source.frame,
            pixel_spacing_mm=prediction.spacing_mm,
        ),
        timing_ms={name: round(ms, 2) for name, ms in timing_ms.items()},
    )


def _finding(finding: Finding, language: Language, *, explain: bool) -> FindingOut:
    return FindingOut(
        id=finding.id,
        center_px=finding.center_px,
        center_mm=finding.center_mm,
        nodule_probability=finding.nodule_probability,
        probability=finding.probability,
        diameter_mm=None if finding.diameter_mm is None else round(finding.diameter_mm, 2),
        traits={trait.name: _trait(trait, language) for trait in finding.traits},
        outline_px=[(round(column, 2), round(row, 2)) for column, row in finding.outline_px.tolist()],
        evidence=_evidence(finding.evidence) if explain and finding.probability is not None else None,
    )


def _trait(trait: Trait, language: Language) -> TraitOut:
    word = trait_word(trait.name, trait.value, language)
    return TraitOut(value=round(trait.value, 2), scale=trait.scale, display=word)


def _evidence(evidence: Evidence) -> EvidenceOut:
    height, width = evidence.values.shape
    values = evidence.values.round(4).tolist()
    return EvidenceOut(shape=(height, width), rectangle_px=evidence.rectangle_px, values=values)


def _quality(note: QualityNote) -> QualityOut:
    return QualityOut(code=note.code, severity=note.severity, message=note.message)


def _identity(bundle: Bundle) -> dict[str, str]:
    return {"name": bundle.manifest.name, "version": str(bundle.manifest.version), "digest": bundle.digest}


def model_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of a model."""
    return ModelSummary(
        **_identity(registry.bundle),
        description=registry.bundle.manifest.description,
        backend=registry.backend_name,
        status=registry.status,
    )


def model_detail(registry: ModelRegistry) -> ModelDetail:
    """What the manifest says, without arrays and file digests."""
    manifest = registry.bundle.manifest
    return ModelDetail(
        **model_summary(registry).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        labels=[label.model_dump() for label in manifest.labels],
        operating_point=manifest.operating_point,
        conformal_coverage=manifest.conformal.coverage,
        nodule_threshold=manifest.nodule_threshold,
        training_data=list(manifest.training_data),
        performance=manifest.performance,
    )
