"""A bundle is served only if every file and figure is what its manifest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import BundleError
from app.inference.bundle import MANIFEST_FILE, EncodedArray, find_bundle, load_bundle
from tests.fakes import write_bundle


def edit_manifest(path: Path, change: dict[str, Any]) -> None:
    file = path / MANIFEST_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))


def test_intact_bundle_is_identified_by_its_manifest(tmp_path: Path) -> None:
    first = load_bundle(write_bundle(tmp_path / "a"))
    second = load_bundle(write_bundle(tmp_path / "b"))
    assert first.digest == second.digest
    assert first.digest.startswith("sha256:")
    edit_manifest(second.path, {"description": "changed"})
    assert load_bundle(second.path).digest != first.digest


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_one_flipped_byte_names_the_file(tmp_path: Path, name: str) -> None:
    path = write_bundle(tmp_path)
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(BundleError, match=name):
        load_bundle(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    (path / "saved_model.pb").unlink()
    with pytest.raises(BundleError, match=r"saved_model\.pb.*no such file"):
        load_bundle(path)


def test_file_nobody_vouched_for_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    (path / "variables" / "extra").write_bytes(b"?")
    with pytest.raises(BundleError, match="variables/extra"):
        load_bundle(path)


def test_path_out_of_the_bundle_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    (tmp_path / "secret").write_bytes(b"?")
    digests = json.loads((path / MANIFEST_FILE).read_text())["digests"]
    edit_manifest(path, {"digests": {**digests, "../../secret": "0" * 64}})
    with pytest.raises(BundleError, match="outside the bundle"):
        load_bundle(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
        ({"nodule_threshold": 1.5}, "nodule_threshold"),
        ({"outputs": ["malignancy"]}, "outputs lack"),
        ({"labels": []}, "labels must be"),
        ({"conformal": {"coverage": 0.9, "quantiles": {"normal": 0.4}}}, "quantiles must be"),
    ],
)
def test_broken_contract_is_named(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    path = write_bundle(tmp_path)
    edit_manifest(path, change)
    with pytest.raises(BundleError, match=complaint):
        load_bundle(path)


@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    [
        ("hu", {"shape": [1, 1], "dtype": "int16", "base64": "AAA="}, "golden input"),
        ("outputs", {}, "golden case lacks"),
    ],
)
def test_incomplete_golden_case_is_named(tmp_path: Path, part: str, value: dict[str, Any], complaint: str) -> None:
    path = write_bundle(tmp_path)
    golden = json.loads((path / MANIFEST_FILE).read_text())["golden"]
    edit_manifest(path, {"golden": {**golden, part: value}})
    with pytest.raises(BundleError, match=complaint):
        load_bundle(path)


def test_no_manifest_and_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match="LUNGSCOPE_MODELS_DIR"):
        find_bundle(tmp_path, "nodule-classifier")


def test_highest_version_is_found_by_number(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    for version in ("9", "10", "10.old"):
        (path.parent / version).mkdir()
        (path.parent / version / MANIFEST_FILE).write_bytes(b"{}")
    (path.parent / "11").mkdir()
    assert find_bundle(tmp_path, "nodule-classifier").name == "10"


def test_arrays_survive_encoding() -> None:
    array = np.array([[-1024, 3071], [0, 1]], np.int16)
    np.testing.assert_array_equal(EncodedArray.encode(array).decode(), array)
    floats = np.array([[1e-7, -2.5]], np.float32)
    np.testing.assert_array_equal(EncodedArray.encode(floats).decode(), floats)


def test_a_version_may_be_pinned(tmp_path: Path) -> None:
    for version in ("1", "2", "10"):
        folder = tmp_path / "nodule-classifier" / version
        folder.mkdir(parents=True)
        (folder / MANIFEST_FILE).write_text("{}")
    assert find_bundle(tmp_path, "nodule-classifier/2").name == "2"
    assert find_bundle(tmp_path, "nodule-classifier").name == "10"
    for missing in ("3", "x", "..", "2/variables"):
        with pytest.raises(BundleError, match=r"those that are there: 1, 2, 10"):
            find_bundle(tmp_path, f"nodule-classifier/{missing}")
