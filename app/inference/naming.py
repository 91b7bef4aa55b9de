"""Which models a process has loaded, said where its operators look."""

from __future__ import annotations

import logging

from app.inference.networks import Signature
from app.inference.registry import ModelRegistry
from app.telemetry import Metrics

logger = logging.getLogger(__name__)


def name_models(registry: ModelRegistry, metrics: Metrics) -> None:
    """Say in the metrics and the log which models were loaded, and on what."""
    searching = (registry.detector_bundle, registry.second_look_bundle, registry.view_bundle)
    for bundle, backend in (
        (registry.bundle, registry.backend_name),
        *((each, each.backend.name) for each in searching),
    ):
        name_model(metrics, bundle.manifest, bundle.digest, backend)


def name_model(metrics: Metrics, manifest: Signature, digest: str, backend: str) -> None:
    """Say it of one."""
    identity = (manifest.name, str(manifest.version), digest, backend)
    metrics.model(*identity).set(1)
    logger.info("model loaded: %s/%s %s on %s", *identity)
