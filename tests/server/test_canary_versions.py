"""A version beside the one that judges, on the shipped service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from app.api.routes.docs import EXAMPLE_SLICE
from app.inference.bundle import MANIFEST_FILE, GoldenCase, versions_of
from benchmarks.serving.service import MODELS, Service

CLASSIFIER = "nodule-classifier"
NEWEST = versions_of(MODELS / CLASSIFIER)[-1]
NEXT = NEWEST + 1


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The shipped bundles, and a copy of the classifier as the version after it."""
    models: Path = tmp_path_factory.mktemp("versions") / "models"
    shutil.copytree(MODELS, models)
    copy = models / CLASSIFIER / str(NEXT)
    shutil.copytree(MODELS / CLASSIFIER / str(NEWEST), copy)
    manifest = json.loads((copy / MANIFEST_FILE).read_text("utf-8"))
    (copy / MANIFEST_FILE).write_text(json.dumps({**manifest, "version": NEXT}), "utf-8")
    named = {"LUNGSCOPE_MODEL": f"{CLASSIFIER}/{NEWEST}", "LUNGSCOPE_CANARY": f"{CLASSIFIER}/{NEXT}"}
    service = Service(models, environment=named)
    service.wait_until_ready()
    yield service
    service.process.terminate()
    assert service.end() == 0


def test_both_versions_answer_and_one_judges(canary: Service) -> None:
    model = f"/v1/models/{CLASSIFIER}"
    said = urllib3.request("GET", canary.url(f"{model}/versions")).json()["versions"]
    assert [(each["version"], each["label"], each["status"]) for each in said] == [
        (str(NEWEST), "stable", "ready"),
        (str(NEXT), "canary", "ready"),
    ]
    manifest = json.loads((MODELS / CLASSIFIER / str(NEWEST) / MANIFEST_FILE).read_text("utf-8"))
    asked = json.dumps({"inputs": GoldenCase.model_validate(manifest["golden"]).batch().tolist()})
    found = [
        urllib3.request("POST", canary.url(f"{model}{which}:predict"), body=asked).json()["outputs"]["malignancy"]
        for which in ("", "/labels/stable", "/labels/canary", f"/versions/{NEXT}")
    ]
    assert [found[0]] * 4 == found
    judged = urllib3.request("POST", canary.url("/v1/predict?roi=148,240"), body=EXAMPLE_SLICE.read_bytes()).json()
    assert judged["model"]["version"] == str(NEWEST)
    assert urllib3.request("GET", canary.url(f"/v2/models/{CLASSIFIER}")).json()["versions"] == [str(NEWEST), str(NEXT)]
    metrics = urllib3.request("GET", canary.url("/metrics")).data.decode()
    assert f'lungscope_network_inputs_total{{model="{CLASSIFIER}",version="{NEXT}"}} 2.0' in metrics
