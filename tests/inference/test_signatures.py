"""Signatures of bundles: by which key, of which manifest, and what a key that is none gets to hear."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.errors import BundleError, SettingsError
from app.inference.bundle import MANIFEST_FILE, load_bundle, signature_file
from app.inference.signatures import is_signed, require_signed, sign
from tests.fakes import write_bundle
from tests.keys import write_key


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "models")


def test_a_signed_bundle_loads_and_is_the_same_as_before(bundle: Path, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "own")
    digest = load_bundle(bundle).digest
    assert sign(bundle / MANIFEST_FILE, private) == signature_file(bundle / MANIFEST_FILE)
    require_signed(bundle, public)
    assert load_bundle(bundle).digest == digest


def test_without_a_key_nothing_is_asked(bundle: Path) -> None:
    require_signed(bundle, None)


def test_no_signature_a_strangers_and_one_of_another_manifest_are_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "own")
    stranger, _ = write_key(tmp_path, "stranger")
    with pytest.raises(BundleError, match=r"no signature.*signed by the key in own\.pub"):
        require_signed(bundle, public)
    sign(bundle / MANIFEST_FILE, stranger)
    with pytest.raises(BundleError, match="another key, or of another manifest"):
        require_signed(bundle, public)
    sign(bundle / MANIFEST_FILE, private)
    manifest = bundle / MANIFEST_FILE
    manifest.write_text(manifest.read_text("utf-8").replace('"threshold": 0.5', '"threshold": 0.9', 1), "utf-8")
    load_bundle(bundle)  # its digests still agree: only the signature knows
    with pytest.raises(BundleError, match="another manifest"):
        require_signed(bundle, public)


def test_a_key_that_is_none_is_named(bundle: Path, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "own")
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ec.pem").write_bytes(other)
    for path in (tmp_path / "none.pem", public, tmp_path / "ec.pem"):
        with pytest.raises(SettingsError, match=f"{path.name}, which holds no such key.*openssl genpkey"):
            sign(bundle / MANIFEST_FILE, path)
    with pytest.raises(SettingsError, match="a public Ed25519 key"):
        is_signed(bundle / MANIFEST_FILE, private)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_and_signs_the_same(bundle: Path, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "own")
    manifest = bundle / MANIFEST_FILE
    signed = sign(manifest, private)
    given = ["-rawin", "-in", str(manifest)]
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), *given, "-sigfile", str(signed)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    signed.unlink()
    make = ["openssl", "pkeyutl", "-sign", "-inkey", str(private), *given, "-out", str(signed)]
    subprocess.run(make, capture_output=True, check=True)
    assert is_signed(manifest, public)
