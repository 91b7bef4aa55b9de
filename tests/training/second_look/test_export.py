"""The bundle loads where the service loads it, with the same answers on every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.errors import BundleError
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import CARD_FILE, Interval
from app.inference.suspicion import NAME as BUNDLE
from app.inference.suspicion import ScanPoint, ScoreRule, SecondLook
from tests.training.second_look.conftest import NAME
from training.data.nodules import DatasetMalformed
from training.second_look.artefacts import look_backend, read_network
from training.second_look.export import export_second_look
from training.second_look.report import LookResults

HALF = Interval(value=0.5, low=0.4, high=0.6)


def point(per: str) -> ScanPoint:
    return ScanPoint.model_validate(
        {"per": per, "listed_from": 0.0, "open_from": 1.0, "suspected_from": 2.0, "chosen_for": "a test",
         "sensitivity": HALF, "false_alarms": HALF, "scans": 1}
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(undisturbed: Path) -> LookResults:
    _, run = read_network(undisturbed, NAME)
    return LookResults(
        command="pytest",
        protocol="Nothing was measured.",
        networks={NAME: run.weights},
        filter_digest=run.filter_digest,
        rule=ScoreRule(suspicious=1.0, nodule=0.5, filter=0.25),
        plantings=0,
        patients=0,
        slice_point=point("slice"),
        series_point=point("series"),
        figures={"planted": HALF},
    )


@pytest.fixture(scope="module")
def bundle(undisturbed: Path, results: LookResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / BUNDLE / "1"
    export_second_look(*read_network(undisturbed, NAME), results, folder)
    return folder


def test_both_runtimes_answer_as_the_trained_network(undisturbed: Path, bundle: Path) -> None:
    hu = np.random.default_rng(1).normal(-500, 400, (5, 48, 48, 2)).astype(np.float32)
    expected = look_backend(read_network(undisturbed, NAME)[0]).run(hu)
    for backend in (OpenVINOBackend(1), TensorFlowBackend(1)):
        look = SecondLook.verified(bundle, backend)
        look.load()
        for found, name in zip(look.logits(hu), ("suspicious", "nodule"), strict=True):
            np.testing.assert_allclose(found, expected[name], atol=1e-3)


def test_manifest_and_card_say_what_was_measured(bundle: Path, results: LookResults) -> None:
    manifest = SecondLook.verified(bundle, TensorFlowBackend(1)).manifest
    assert (manifest.rule, manifest.slice_point, manifest.series_point) == (
        results.rule, results.slice_point, results.series_point)  # fmt: skip
    assert manifest.training_data[0].split == "without folds 1"
    card = (bundle / CARD_FILE).read_text("utf-8")
    assert "0.500 (0.400 to 0.600)" in card
    assert "Not a medical device" in card


def test_it_is_refused_behind_another_filter(bundle: Path, results: LookResults) -> None:
    look = SecondLook.verified(bundle, TensorFlowBackend(1))
    look.require_filter(results.filter_digest)
    with pytest.raises(BundleError, match="measured behind"):
        look.require_filter("0" * 64)


def test_figures_of_other_weights_are_refused(undisturbed: Path, results: LookResults, tmp_path: Path) -> None:
    other = results.model_copy(update={"networks": {NAME: "sha256:of another"}})
    with pytest.raises(DatasetMalformed, match="figures of weights sha256:of another"):
        export_second_look(*read_network(undisturbed, NAME), other, tmp_path / BUNDLE / "1")
