"""Ed25519 signatures (RFC 8032) of files: 64 bytes beside each, as `openssl pkeyutl -rawin` writes them.

A manifest holds the digest of every file of its bundle, so its signature stands for the bundle, the card excepted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import BundleError, SettingsError
from app.inference.bundle import MANIFEST_FILE, find_bundle, signature_file

if TYPE_CHECKING:  # OpenSSL takes memory in every worker: imported where a key is used
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_REMEDY: Final = "Make one: openssl genpkey -algorithm ed25519 -out key.pem. Its public half: openssl pkey -pubout."


def sign(path: Path, private_key: Path) -> Path:
    """Write the signature of a file beside it and return its path; raises SettingsError for a key that is none."""
    key = _private_key(private_key)
    signed = signature_file(path)
    signed.write_bytes(key.sign(path.read_bytes()))
    return signed


def is_signed(path: Path, public_key: Path) -> bool:
    """Whether the signature beside a file is by this key; raises SettingsError for a key that is none."""
    from cryptography.exceptions import InvalidSignature

    key = _public_key(public_key)
    try:
        key.verify(signature_file(path).read_bytes(), path.read_bytes())
    except (InvalidSignature, FileNotFoundError):
        return False
    return True


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
    _private_key(path)


def _private_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise _no_key(path, "private") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise _no_key(path, "public") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def _no_key(path: Path, kind: str) -> SettingsError:
    return SettingsError(
        found=f"{path}, which holds no such key", expected=f"a {kind} Ed25519 key in PEM", remedy=KEY_REMEDY
    )
