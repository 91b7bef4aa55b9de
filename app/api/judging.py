"""What judges, as the settings want it."""

from __future__ import annotations

from app.imaging.decoder import Decoder
from app.inference.registry import ModelRegistry
from app.inference.second_opinion import SecondOpinions
from app.judgement.judge import Judge, as_it_is
from app.judgement.records import Records
from app.judgement.shadow import Shadow
from app.reports.report import ResultOptions
from app.settings import Settings
from app.telemetry import Metrics
from app.watch.watch import Watch


def judge_of(
    settings: Settings,
    registry: ModelRegistry,
    metrics: Metrics,
    opinions: SecondOpinions,
    decoder: Decoder,
    records: Records,
    watch: Watch | None,
    shadow: Shadow,
) -> Judge:
    """The judge; `watch` is told of what it judges, if there is one, and `shadow` where a version may work in it."""
    return Judge(
        registry,
        metrics,
        settings.max_slices,
        opinions,
        deidentify=settings.deidentify,
        results=ResultOptions(
            settings.max_pictures,
            settings.fhir_patient_system,
            settings.fhir_accession_system,
            settings.fhir_pdf,
        ),
        keep_digests=records.kept,
        decoder=decoder,
        noted=as_it_is if watch is None else watch.noted,
        shadow=shadow if settings.shadow or settings.versions_dir else None,
    )
