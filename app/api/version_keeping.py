"""The versions of the classifier, as the settings want them kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.api.dialects.served import open_beside
from app.errors import UnknownVersion
from app.inference.backends import Backend
from app.inference.bundle import Manifest, versions_of
from app.inference.canaries import Canary
from app.inference.networks import Networks
from app.inference.registry import ModelRegistry
from app.judgement.records import Records
from app.judgement.shadow import Shadow
from app.settings import Settings
from app.telemetry import Metrics
from app.versions.state_file import StateFile
from app.versions.told import Told
from app.versions.versions import LoadedVersions


def loaded_versions(
    registry: ModelRegistry,
    networks: tuple[Networks, Sequence[Canary]],
    shadow: Shadow,
    told: tuple[Metrics, Records],
    settings: Settings,
    backend: Callable[[], Backend],
    begin: Callable[[], None],
) -> LoadedVersions:
    """Those of a service, each on a `backend` of its own; `begin` is called in the thread that loads. Raises
    SettingsError for a folder that cannot be used."""
    name, folder = registry.bundle.manifest.name, settings.versions_dir

    def opened(number: str) -> Canary:
        there = [str(each) for each in versions_of(settings.models_dir / name)]
        if number not in there:
            raise UnknownVersion(
                found=f"version {number}, which is not in the folder of bundles",
                expected=" or ".join(there),
                remedy="Put the bundle into LUNGSCOPE_MODELS_DIR first.",
            )
        return open_beside(f"{name}/{number}", Manifest, settings, backend())

    kept = None if folder is None else StateFile(folder)
    return LoadedVersions(registry, *networks, shadow, opened, Told(*told), kept, begin)
