"""Versions that stand beside those that judge: what is said of them, and that they judge nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.errors import BundleError, SettingsError
from app.inference.bundle import find_bundle, load_bundle
from app.inference.canaries import Canary, load_canaries
from app.inference.networks import Network, Networks
from app.main import create_app
from app.settings import Settings
from tests.api.dialects import CLASSIFIER, HU, MALIGNANCY, patches, problem_of
from tests.fakes import ArithmeticBackend, arithmetic_backends, write_bundle, write_models

ASKED = {"instances": patches(*HU).tolist()}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two versions of the classifier, and one of each other bundle."""
    write_models(tmp_path)
    write_bundle(tmp_path, version=2)
    return tmp_path


def canary_of(models: Path, backend: ArithmeticBackend, version: int = 2) -> Canary:
    bundle = load_bundle(find_bundle(models, f"{CLASSIFIER}/{version}"))
    return Canary(bundle.path, bundle.manifest, bundle.digest, backend)


def test_a_canary_runs_once_it_has_passed_its_golden_case(models: Path) -> None:
    backend, told = ArithmeticBackend(), []
    canary = canary_of(models, backend)
    network = canary.network("hu")
    assert (network.version, network.label, network.state()) == ("2", "canary", "loading")
    load_canaries([canary], lambda manifest, digest, name: told.append((manifest.version, digest, name)))
    assert network.state() == "ready"
    assert told == [(2, canary.digest, "arithmetic")]
    assert backend.loaded_from == canary.path
    assert network.run(patches(*HU))["malignancy"].tolist() == MALIGNANCY


def test_a_canary_that_does_not_reproduce_its_golden_case_is_failed_and_the_next_is_loaded(models: Path) -> None:
    class Other(ArithmeticBackend):
        def answer(self, hu: object) -> dict[str, object]:  # type: ignore[override]  # other numbers
            return {name: values + 1 for name, values in super().answer(hu).items()}  # type: ignore[arg-type]  # as above

    canaries = [canary_of(models, Other()), canary_of(models, ArithmeticBackend())]
    load_canaries(canaries, lambda *_: None)
    assert [each.state for each in canaries] == ["failed", "ready"]


def test_the_version_that_judges_is_meant_where_none_is_named(models: Path) -> None:
    bundle = load_bundle(find_bundle(models, f"{CLASSIFIER}/1"))
    judging = Network.of(bundle.manifest, bundle.digest, ArithmeticBackend(), lambda: "ready")
    beside = canary_of(models, ArithmeticBackend()).network("hu")
    networks = Networks([beside, judging])
    assert networks.named(CLASSIFIER) is networks.named(CLASSIFIER, "1") is networks.labelled(CLASSIFIER, "stable")
    assert networks.named(CLASSIFIER, "2") is networks.labelled(CLASSIFIER, "canary") is beside


def test_a_canary_that_cannot_be_loaded_costs_itself_alone(models: Path) -> None:
    settings = Settings(models_dir=models, model=f"{CLASSIFIER}/1", canary=frozenset({f"{CLASSIFIER}/2"}), threads=1)
    app = create_app(settings, backends=arithmetic_backends(), load_first=True)
    with TestClient(app) as client:
        assert client.get("/health/ready").status_code == 200
        said = client.get(f"/v1/models/{CLASSIFIER}/versions").json()["versions"]
        assert [(each["version"], each["label"], each["status"]) for each in said] == [
            ("1", "stable", "ready"),
            ("2", "canary", "failed"),
        ]
        states = client.get(f"/v1/models/{CLASSIFIER}").json()["model_version_status"]
        assert [(each["version"], each["state"]) for each in states] == [("1", "AVAILABLE"), ("2", "END")]
        refused = client.post(f"/v1/models/{CLASSIFIER}/labels/canary:predict", json=ASKED)
        assert problem_of(refused) == (503, "model_loading")
        assert client.get(f"/v2/models/{CLASSIFIER}/versions/2/ready").status_code == 503
        assert client.post(f"/v1/models/{CLASSIFIER}:predict", json=ASKED).status_code == 200


@pytest.mark.parametrize("name", ["other/1", CLASSIFIER, f"{CLASSIFIER}/1"])
def test_canaries_are_other_versions_of_what_is_served(models: Path, name: str) -> None:
    settings = Settings(models_dir=models, model=f"{CLASSIFIER}/1", canary=frozenset({name}))
    with pytest.raises(SettingsError, match="LUNGSCOPE_CANARY"):
        create_app(settings, backends=arithmetic_backends())


def test_a_damaged_canary_stops_the_start(models: Path) -> None:
    (models / CLASSIFIER / "2" / "saved_model.pb").write_bytes(b"damaged")
    settings = Settings(models_dir=models, model=f"{CLASSIFIER}/1", canary=frozenset({f"{CLASSIFIER}/2"}))
    with pytest.raises(BundleError, match=r"saved_model\.pb"):
        create_app(settings, backends=arithmetic_backends())
    unknown = settings.model_copy(update={"canary": frozenset({f"{CLASSIFIER}/3"})})
    with pytest.raises(BundleError, match="no version '3'"):
        create_app(unknown, backends=arithmetic_backends())
