"""Ed25519 keys (RFC 8032) in PEM files: one that signs, one that verifies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from app.errors import SettingsError

if TYPE_CHECKING:  # OpenSSL takes memory in every worker: imported where a key is used
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_REMEDY: Final = "Make one: openssl genpkey -algorithm ed25519 -out key.pem. Its public half: openssl pkey -pubout."
NAME_DIGITS: Final = 16  # enough to tell the few keys of a site apart; whoever verifies names the key itself


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; `name` is the name of its public half."""

    key: Ed25519PrivateKey
    name: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """The private key in a PEM file; raises SettingsError for a file that holds none."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            raise _no_key(path, "private") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key(path, "private")
        return cls(key, _name(key.public_key()))

    def sign(self, data: bytes) -> bytes:
        """The signature of some bytes, 64 bytes."""
        return self.key.sign(data)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key; `name` is the first 16 hexadecimal digits of the sha256 of its 32 bytes."""

    key: Ed25519PublicKey
    name: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """The public key in a PEM file; raises SettingsError for a file that holds none."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError):
            raise _no_key(path, "public") from None
        if not isinstance(key, Ed25519PublicKey):
            raise _no_key(path, "public")
        return cls(key, _name(key))

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, of these bytes."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:NAME_DIGITS]


def _no_key(path: Path, kind: str) -> SettingsError:
    return SettingsError(
        found=f"{path}, which holds no such key", expected=f"a {kind} Ed25519 key in PEM", remedy=KEY_REMEDY
    )
