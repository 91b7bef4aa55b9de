"""What an operator wanted last, above what the settings say."""

from __future__ import annotations

from pathlib import Path

from app.errors import BundleError
from app.inference.bundle import MANIFEST_FILE, file_digest
from app.settings import Settings
from app.versions.state_file import FILE, SETTING, StateFile
from app.versions.wanted import judging


def as_kept(settings: Settings) -> Settings:
    """The settings with the version of the classifier that shall judge, where an operator has moved it.

    What stands beside it is then the file's to say, no longer the settings'. Raises SettingsError, and BundleError
    where the version that shall judge is another one by now.
    """
    if settings.versions_dir is None:
        return settings
    model = settings.model.partition("/")[0]
    kept = StateFile(settings.versions_dir).read().get(model)
    if kept is None:
        return settings
    stable = judging(kept)
    _require_unchanged(settings.models_dir / model / stable / MANIFEST_FILE, kept[stable].digest)
    others = frozenset(each for each in settings.canary if each.partition("/")[0] != model)
    return settings.model_copy(update={"model": f"{model}/{stable}", "canary": others, "shadow": None})


def _require_unchanged(manifest: Path, digest: str) -> None:
    """Raise BundleError for another manifest than this; one that is missing is named by whoever loads it."""
    if manifest.is_file() and f"sha256:{file_digest(manifest)}" != digest:
        raise BundleError(
            found=f"{manifest}: another manifest than when an operator had it judge",
            expected=digest,
            remedy=f"Restore it; or remove {FILE} from {SETTING}, and the versions are those of the settings again.",
        )
