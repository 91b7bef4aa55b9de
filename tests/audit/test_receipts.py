"""Receipts: what is signed, by which key, and that another program can check it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from app.audit.receipts import (
    Conditions,
    Judged,
    Notary,
    Receipt,
    code_digest,
    digest_of,
    from_header,
    header_value,
)
from app.errors import MalformedInput
from app.signing import SigningKey, VerifyingKey
from tests.keys import write_key

JUDGED = Judged("an id", "sha256:aa", {"roi": "1.0,2.0", "language": "zh"}, {"m/1": "sha256:bb"}, "sha256:cc")
CONDITIONS = Conditions({"version": "1"}, {"operating_point": "0.5"}, {"cpu": "Ω"})


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_key(tmp_path, "own")


@pytest.fixture
def receipt(keys: tuple[Path, Path]) -> dict[str, object]:
    return Notary(SigningKey.read(keys[0]), lambda: CONDITIONS).receipt(JUDGED, 1.5)


def test_a_receipt_says_what_was_judged_and_is_genuine(receipt: dict[str, object], keys: tuple[Path, Path]) -> None:
    read = Receipt.read(json.loads(json.dumps(receipt, indent=3)))
    public = VerifyingKey.read(keys[1])
    assert read.is_signed_by(public)
    assert read.text("key") == public.name
    assert (read.text("input"), read.text("result")) == ("sha256:aa", "sha256:cc")
    assert read.table("parameters") == {"roi": "1.0,2.0", "language": "zh"}
    assert receipt["time"] == "1970-01-01T00:00:01.500000Z"


@pytest.mark.parametrize("member", ["request_id", "time", "input", "result", "key", "version", "signature"])
def test_whatever_is_changed_the_signature_no_longer_holds(
    receipt: dict[str, object], keys: tuple[Path, Path], member: str, tmp_path: Path
) -> None:
    public = VerifyingKey.read(keys[1])
    changed = receipt | {member: 2 if member == "version" else "QUFB"}
    if member == "version":
        with pytest.raises(MalformedInput):
            Receipt.read(changed)
    else:
        assert not Receipt.read(changed).is_signed_by(public)
    assert not Receipt.read(receipt | {"models": {"m/1": "sha256:other"}}).is_signed_by(public)
    assert not Receipt.read(receipt | {"more": "text"}).is_signed_by(public)
    assert not Receipt.read(receipt).is_signed_by(VerifyingKey.read(write_key(tmp_path, "stranger")[1]))


def test_it_travels_in_a_header(receipt: dict[str, object], keys: tuple[Path, Path]) -> None:
    value = header_value(receipt)
    assert value.isascii()
    assert len(value) < 4096
    assert Receipt.read(from_header(value)).is_signed_by(VerifyingKey.read(keys[1]))
    with pytest.raises(MalformedInput):
        from_header("no base64 of JSON")


@pytest.mark.parametrize("none", [[], {}, {"version": 1}, {"version": 1, "input": 3}, None, "text"])
def test_what_is_no_receipt_is_refused(none: object) -> None:
    with pytest.raises(MalformedInput):
        Receipt.read(none)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_it_from_the_canonical_json(
    receipt: dict[str, object], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """As docs/reliability.md says how: without a line of this project."""
    script = (
        "import json,sys; r=json.load(open(sys.argv[1])); s=r.pop('signature');"
        "sys.stdout.buffer.write(b'lungscope receipt\\n'+json.dumps(r,sort_keys=True,separators=(',',':'),"
        "ensure_ascii=False).encode())"
    )
    (tmp_path / "receipt.json").write_text(json.dumps(receipt), "utf-8")
    command = [sys.executable, "-I", "-c", script, "receipt.json"]
    signed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "signature").write_bytes(b64decode(str(receipt["signature"])))
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin", "-in", "signed"]
    done = subprocess.run([*verify, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_code_has_one_digest(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "inner" / "b.py").write_text("2")
    before = code_digest(tmp_path)
    assert before == code_digest(tmp_path)
    (tmp_path / "inner" / "b.py").rename(tmp_path / "inner" / "c.py")
    assert code_digest(tmp_path) != before
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
