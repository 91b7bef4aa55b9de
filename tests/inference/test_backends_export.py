"""Whatever training exports, OpenVINO reads it and agrees: networks of random weights, of the shipped architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # keras is untyped

import numpy as np
import pytest

from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import OUTPUT_NAMES
from tests.training.conftest import CONFIGS
from training.evaluation.cross_fitting import Calibration
from training.fitting.architectures import build_network
from training.fitting.artefacts import Artefacts, Run
from training.fitting.config import load_config
from training.fitting.whitening import Whitening
from training.reporting.export import save_graph

SAME = 1e-4  # float32 sums in another order
CALIBRATION = Calibration(
    slope=1.1,
    per_log_mm=0.8,
    intercept=-2.0,
    threshold=0.4,
    quantiles={"cancer_suspected": 0.5, "normal": 0.5},
    nodule_threshold=0.5,
    distance_threshold=5.0,
)


def shaken(network: Any) -> Any:
    """The network with every weight moved: new batch normalisation changes nothing and would hide a difference."""
    rng = np.random.default_rng(5)
    for variable in network.weights:
        values = np.asarray(variable)
        if values.dtype.kind == "f":
            variable.assign(values * rng.uniform(0.7, 1.3, values.shape) + rng.uniform(-0.05, 0.05, values.shape))
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config(CONFIGS / "default.toml")
    network = shaken(build_network(config))
    depth = network.output["features"].shape[-1]
    run = Run(config=config, nodules=0, patients=0, candidates=0, data={}, local_scale=2.0, losses={})
    whitening = Whitening(np.zeros(depth, np.float32), np.eye(depth, dtype=np.float32))
    folder = tmp_path_factory.mktemp("random") / "1"
    save_graph(Artefacts(network, whitening, run), CALIBRATION, folder)
    return folder


def test_openvino_agrees_on_the_architecture_being_trained(exported: Path) -> None:
    size = load_config(CONFIGS / "default.toml").input.size_px
    noise = np.random.default_rng(0).standard_normal((6, size, size, 1), np.float32)
    hu = np.linspace(50, 800, 6, dtype=np.float32)[:, None, None, None] * noise - 400
    said = []
    for backend in (OpenVINOBackend(2), TensorFlowBackend(2)):
        backend.load(exported)
        said.append(backend.run(hu))
    found, expected = said
    assert found.keys() == expected.keys() == set(OUTPUT_NAMES)
    for name, values in expected.items():
        assert np.ptp(values, axis=0).max() > 10 * SAME, f"{name} says the same of every patch: nothing is compared"
        np.testing.assert_allclose(found[name], values, rtol=0, atol=SAME, err_msg=name)
