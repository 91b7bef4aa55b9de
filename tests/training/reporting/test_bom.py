"""The bill of materials: CycloneDX as its own library reads it, and what stands in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from app.inference.bundle import Manifest, file_digest, load_bundle
from app.inference.lineage import Lineage, Parent
from tests.training.conftest import TinyRun
from training.reporting.bom import BOM_FILE, bill_of


@pytest.fixture(scope="module")
def manifest(tiny_run: TinyRun) -> Manifest:
    return load_bundle(tiny_run.bundle).manifest


def complaint(text: str) -> object:
    """What the schema of CycloneDX 1.6 has against a text; None for nothing."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


def test_the_bill_of_a_bundle_is_valid_and_its_digest_is_in_the_manifest(tiny_run: TinyRun, manifest: Manifest) -> None:
    assert complaint((tiny_run.bundle / BOM_FILE).read_text("utf-8")) is None
    assert manifest.digests[BOM_FILE] == file_digest(tiny_run.bundle / BOM_FILE)


def test_the_schema_sees_what_is_wrong(manifest: Manifest) -> None:
    assert complaint(json.dumps(bill_of(manifest) | {"modelCard": {}})) is not None


def test_it_lists_model_files_data_and_figures(manifest: Manifest) -> None:
    bill: dict[str, Any] = bill_of(manifest)
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "tiny-classifier", "1")
    metrics = {m["type"]: float(m["value"]) for m in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics == pytest.approx({k: f.value for k, f in manifest.performance.figures.items()}, rel=1e-5)
    hashes = {c["name"]: c["hashes"][0]["content"] for c in bill["components"] if c["type"] == "file"}
    assert hashes == {name: digest for name, digest in manifest.digests.items() if name != BOM_FILE}
    data = [c["name"] for c in bill["components"] if c["type"] == "data"]
    assert data == [d.source for d in manifest.training_data]


def test_what_was_made_from_another_bundle_names_it(manifest: Manifest) -> None:
    parent = Parent(name="tiny-classifier", version=1, digest="sha256:0", change="recalibrated", data={})
    bill = bill_of(manifest.model_copy(update={"lineage": Lineage(parent=parent)}))
    assert complaint(json.dumps(bill)) is None
    assert bill["metadata"]["component"]["pedigree"]["notes"] == "sha256:0: recalibrated"
