"""`lungscope sign`: an Ed25519 signature of a bundle's manifest, and so of all its files but the card."""

from __future__ import annotations

import argparse

from app.cli.exits import OK
from app.inference.bundle import MANIFEST_FILE, VerifiedManifest, read_verified
from app.inference.signatures import sign
from app.settings import Settings


class _AnyManifest(VerifiedManifest, extra="ignore"):
    """What every bundle's manifest holds, whatever else is in it."""


def run(options: argparse.Namespace, _settings: Settings) -> int:
    """Verify the files of each bundle and sign its manifest; returns the exit code, and raises StartupError."""
    for bundle in options.bundles:
        read_verified(bundle, _AnyManifest)
        print(f"signed {sign(bundle / MANIFEST_FILE, options.key)}")
    return OK
