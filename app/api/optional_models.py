"""The models that a service may lack, and judges images all the same: the tagger of reports, and the network over
slices that gives second opinions."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.inference.backends import Backend
from app.inference.bundle import VerifiedManifest
from app.inference.model import create_backend
from app.inference.second_opinion import SecondOpinions
from app.settings import Settings
from app.text.reader import ReportReader

logger = logging.getLogger(__name__)


def report_reader(settings: Settings, backend: Backend | None) -> ReportReader:
    """The reader of reports, with the tagger where its folder is; raises BundleError."""
    backend = backend or create_backend(settings.backend, 1)
    return ReportReader.verified(settings.models_dir, settings.tagger, backend, settings.trusted_key)


def second_opinions(settings: Settings, backend: Backend | None) -> SecondOpinions:
    """What gives second opinions, with its network where its folder is; raises BundleError."""
    backend = backend or create_backend(settings.backend, 1)
    return SecondOpinions.verified(settings.models_dir, settings.sequence, backend, settings.trusted_key)


def load_optional(
    reader: ReportReader, opinions: SecondOpinions, loaded: Callable[[VerifiedManifest, str, str], None]
) -> None:
    """Load what there is, and tell `loaded` its manifest, digest and backend; answers say what is missing."""
    for part, bundle in ((reader, reader.tagger), (opinions, opinions.network)):
        if bundle is None:
            continue
        try:
            part.load()
        # Whatever a runtime raises while it loads: images are judged all the same.
        except Exception as error:
            logger.error("%s cannot be used: %s", bundle.manifest.name, error, exc_info=error)
        else:
            loaded(bundle.manifest, bundle.digest, bundle.backend.name)
