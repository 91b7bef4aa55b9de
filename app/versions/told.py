"""Who is told which versions are loaded: metrics, log and receipts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from app.inference.canaries import Canary
from app.inference.naming import name_model
from app.inference.networks import Signature
from app.judgement.records import Records
from app.telemetry import Metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """The metrics and the records of a service."""

    metrics: Metrics
    records: Records

    def loaded(self, manifest: Signature, digest: str, backend: str) -> None:
        """Say that a version was loaded."""
        name_model(self.metrics, manifest, digest, backend)

    def dropped(self, version: Canary) -> None:
        """Say that one was unloaded."""
        identity = (version.manifest.name, str(version.manifest.version), version.digest, version.backend.name)
        self.metrics.model(*identity).set(0)
        logger.info("model unloaded: %s/%s %s on %s", *identity)

    def exchanged(self, name: str, number: str, before: str) -> None:
        """Say that another version judges."""
        self.records.models_changed()
        logger.warning("%s/%s judges, no longer %s", name, number, before)

    def behind(self, *, behind: bool) -> None:
        """Say whether what is loaded is not what is wanted."""
        self.metrics.versions_behind.set(int(behind))
