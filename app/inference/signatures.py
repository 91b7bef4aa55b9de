"""Ed25519 signatures (RFC 8032) of files: 64 bytes beside each, as `openssl pkeyutl -rawin` writes them.

A manifest holds the digest of every file of its bundle, so its signature stands for the bundle, the card excepted.
"""

from __future__ import annotations

from pathlib import Path

from app.errors import BundleError
from app.inference.bundle import MANIFEST_FILE, find_bundle, signature_file
from app.signing import SigningKey, VerifyingKey


def sign(path: Path, private_key: Path) -> Path:
    """Write the signature of a file beside it and return its path; raises SettingsError for a key that is none."""
    key = SigningKey.read(private_key)
    signed = signature_file(path)
    signed.write_bytes(key.sign(path.read_bytes()))
    return signed


def is_signed(path: Path, public_key: Path) -> bool:
    """Whether the signature beside a file is by this key; raises SettingsError for a key that is none."""
    key = VerifyingKey.read(public_key)
    try:
        return key.has_signed(path.read_bytes(), signature_file(path).read_bytes())
    except FileNotFoundError:
        return False


def require_signed(bundle: Path, public_key: Path | None) -> None:
    """Raise BundleError unless the bundle's manifest is signed by the key; without a key nothing is asked."""
    if public_key is None or is_signed(bundle / MANIFEST_FILE, public_key):
        return
    there = signature_file(bundle / MANIFEST_FILE).is_file()
    raise BundleError(
        found=f"{bundle}: {'a signature by another key, or of another manifest' if there else 'no signature'}",
        expected=f"a manifest signed by the key in {public_key.name} (LUNGSCOPE_TRUSTED_KEY)",
        remedy="Sign it: lungscope sign BUNDLE --key key.pem. Nothing was loaded.",
    )


def find_signed(models_dir: Path, name: str, public_key: Path | None) -> Path:
    """The folder that `find_bundle` finds, its manifest signed by the key if there is one; raises BundleError."""
    path = find_bundle(models_dir, name)
    require_signed(path, public_key)
    return path


def require_private_key(path: Path) -> None:
    """Raise SettingsError unless the file holds a key to sign with."""
    SigningKey.read(path)
