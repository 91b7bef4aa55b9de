"""The bodies of the answers of `/v1/models`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from app.api.schemas import (
    DetectorDetail,
    ModelDetail,
    ModelSummary,
    ModelVersion,
    SecondLookDetail,
    SequenceDetail,
    TaggerDetail,
    VersionError,
    VersionList,
    VersionStatus,
    ViewDetail,
)
from app.inference.bundle import Bundle
from app.inference.detector import Detector
from app.inference.networks import Network
from app.inference.registry import ModelRegistry, Status
from app.inference.second_opinion import SecondOpinions
from app.inference.sequence import NoduleSequence
from app.inference.suspicion import SecondLook
from app.inference.view import ViewCheck
from app.judgement.answers import identity
from app.text.reader import ReportReader
from app.text.tagger import Tagger

STATES: Final[dict[Status, Literal["LOADING", "AVAILABLE", "UNLOADING", "END"]]] = {
    "loading": "LOADING",
    "ready": "AVAILABLE",
    "stopping": "UNLOADING",
    "failed": "END",
}


def model_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of the classifier."""
    return _summary(registry, registry.bundle, registry.backend_name)


def detector_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of the detector."""
    detector = registry.detector_bundle
    return _summary(registry, detector, detector.backend.name)


def second_look_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of the second look."""
    second_look = registry.second_look_bundle
    return _summary(registry, second_look, second_look.backend.name)


def view_summary(registry: ModelRegistry) -> ModelSummary:
    """Identity and state of the check whether there is a chest to be searched."""
    view = registry.view_bundle
    return _summary(registry, view, view.backend.name)


def model_detail(registry: ModelRegistry) -> ModelDetail:
    """The classifier's manifest without arrays and file digests, and the operating point in force."""
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
    """The detector's manifest without arrays and file digests."""
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


def second_look_detail(registry: ModelRegistry) -> SecondLookDetail:
    """The second look's manifest without arrays and file digests."""
    manifest = registry.second_look_bundle.manifest
    return SecondLookDetail(
        **second_look_summary(registry).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        rule=manifest.rule,
        slice_point=manifest.slice_point,
        series_point=manifest.series_point,
        filter_digest=manifest.filter_digest,
        classifier_digest=manifest.classifier_digest,
        training_data=list(manifest.training_data),
        performance=manifest.performance,
    )


def view_detail(registry: ModelRegistry) -> ViewDetail:
    """The view check's manifest without arrays and file digests."""
    manifest = registry.view_bundle.manifest
    return ViewDetail(
        **view_summary(registry).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        rejected_below=manifest.rejected_below,
        doubtful_below=manifest.doubtful_below,
        training_data=list(manifest.training_data),
        performance=manifest.performance,
    )


def tagger_summary(reader: ReportReader, tagger: Tagger) -> ModelSummary:
    """Identity and state of the tagger of reports."""
    manifest = tagger.manifest
    return ModelSummary(
        name=manifest.name,
        version=str(manifest.version),
        digest=tagger.digest,
        description=manifest.description,
        backend=tagger.backend.name,
        status="ready" if reader.state == "ready" else "failed" if reader.state == "failed" else "loading",
    )


def tagger_detail(reader: ReportReader, tagger: Tagger) -> TaggerDetail:
    """The tagger's manifest without arrays and file digests."""
    manifest = tagger.manifest
    return TaggerDetail(
        **tagger_summary(reader, tagger).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        languages=list(manifest.languages),
        labels=list(manifest.labels),
        threshold=manifest.threshold,
        training_data=list(manifest.training_data),
        performance=manifest.performance,
    )


def sequence_summary(opinions: SecondOpinions, network: NoduleSequence) -> ModelSummary:
    """Identity and state of the recurrent network over slices."""
    return ModelSummary(
        **identity(network),
        description=network.manifest.description,
        backend=network.backend.name,
        status="loading" if opinions.state == "absent" else opinions.state,
    )


def sequence_detail(opinions: SecondOpinions, network: NoduleSequence) -> SequenceDetail:
    """The recurrent network's manifest without arrays and file digests."""
    manifest = network.manifest
    return SequenceDetail(
        **sequence_summary(opinions, network).model_dump(),
        intended_use=manifest.intended_use,
        created=manifest.created.isoformat(),
        input=manifest.input.model_dump(),
        training_data=list(manifest.training_data),
        performance=manifest.performance,
    )


def version_list(networks: Iterable[Network]) -> VersionList:
    """What is said of the versions of a model."""
    return VersionList(
        versions=[
            ModelVersion(
                version=each.version,
                label=each.label,
                digest=each.digest,
                backend=each.backend.name,
                status=each.state(),
            )
            for each in networks
        ]
    )


def version_status(version: str, state: Status) -> VersionStatus:
    """The state of a version as TensorFlow Serving says it."""
    failed = state == "failed"
    error = VersionError(
        error_code="INTERNAL" if failed else "OK", error_message="it could not be loaded" if failed else ""
    )
    return VersionStatus(version=version, state=STATES[state], status=error)


def _summary(registry: ModelRegistry, bundle: Bundle | Detector | SecondLook | ViewCheck, backend: str) -> ModelSummary:
    return ModelSummary(
        **identity(bundle),
        description=bundle.manifest.description,
        backend=backend,
        status=registry.status,
    )
