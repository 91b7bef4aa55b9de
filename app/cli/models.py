"""`lungscope models`: what the bundles say of themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.exits import OK
from app.inference.bundle import VerifiedManifest, versions_of
from app.inference.model import create_backend
from app.inference.registry import Backends, BundleNames, ModelRegistry
from app.inference.second_opinion import SecondOpinions
from app.settings import Settings
from app.text.reader import ReportReader
from app.versions.kept import as_kept


def run(_options: argparse.Namespace, settings: Settings) -> int:
    """Verify and describe all; returns the exit code, and raises BundleError."""
    registry = verified_registry(settings)
    optional = (verified_reader(settings).tagger, verified_opinions(settings).network)
    bundle, manifest = registry.bundle, registry.bundle.manifest
    _print_identity(manifest, bundle.digest, bundle.path)
    print(f"  operating point {manifest.operating_point.threshold:.3f} ({manifest.operating_point.chosen_for})")
    if registry.site_threshold is not None:
        print(f"  operating point in force {registry.threshold:.3f} (LUNGSCOPE_OPERATING_POINT)")
    print(f"  {manifest.performance.protocol}")
    for name, figure in manifest.performance.figures.items():
        print(f"    {name:40s} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")
    searching = (registry.detector_bundle, registry.second_look_bundle, registry.view_bundle)
    for other in (*searching, *(each for each in optional if each is not None)):
        _print_identity(other.manifest, other.digest, other.path)
        for name, figure in other.manifest.performance.figures.items():
            print(f"    {name:40s} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")
    return OK


def _print_identity(manifest: VerifiedManifest, digest: str, path: Path) -> None:
    """Name, digest, files, other versions that are there, and lineage."""
    print(f"{manifest.name}/{manifest.version}  {digest}")
    print(f"  {manifest.description}")
    print(f"  {len(manifest.digests)} files match their digests in {path}")
    if others := [str(version) for version in versions_of(path.parent) if str(version) != path.name]:
        print(f"  not served, in the same folder: version {', '.join(others)}")
    said = list(manifest.lineage.sentences()) if manifest.lineage else []
    for sentence in said or ["not recorded: exported before lineage was"]:
        print(f"  lineage: {sentence}")


def verified_registry(settings: Settings) -> ModelRegistry:
    """The models on disk, verified and not loaded, the version that an operator wants included; raises BundleError."""
    settings = as_kept(settings)
    names = BundleNames(settings.model, settings.detector, settings.second_look, settings.view)
    backends = Backends.create(settings.backend, settings.threads)
    return ModelRegistry.verified(settings.models_dir, names, backends, settings.operating_point, settings.trusted_key)


def verified_reader(settings: Settings) -> ReportReader:
    """The reader of reports, its tagger verified and not loaded; raises BundleError."""
    backend = create_backend(settings.backend, 1)
    return ReportReader.verified(settings.models_dir, settings.tagger, backend, settings.trusted_key)


def verified_opinions(settings: Settings) -> SecondOpinions:
    """What gives second opinions, its network verified and not loaded; raises BundleError."""
    backend = create_backend(settings.backend, 1)
    return SecondOpinions.verified(settings.models_dir, settings.sequence, backend, settings.trusted_key)
