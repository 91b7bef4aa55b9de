"""One code for TensorFlow, PyTorch and JAX: the same weights give the same answers, and training needs one of them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import CONFIGS, TinyRun
from training.data.nodules import Dataset
from training.fitting.artefacts import NETWORK_FILE, read_artefacts
from training.fitting.config import Config
from training.fitting.samples import nodule_view
from training.fitting.train import predict
from training.reporting.bundles import run_graph
from training.reporting.export import export_bundle

REPOSITORY = CONFIGS.parents[1]
RUNTIMES = {"tensorflow", "torch", "jax"}
# Sums run in another order.
PARITY = 1e-4
OTHERS = {"torch": "PyTorch is not installed: pip install 'lungscope[train-torch]'", "jax": "JAX is not installed"}
# Runs a script as where TensorFlow is not installed, then stores what the network says about patches.
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = None
arguments, patches, answers = sys.argv[1:-2], sys.argv[-2], sys.argv[-1]
sys.argv = arguments
runpy.run_path(arguments[0], run_name="__main__")
import dataclasses, numpy
from pathlib import Path
from training.fitting.artefacts import read_artefacts
from training.fitting.train import predict
said = predict(read_artefacts(Path(arguments[-1])).network, numpy.load(patches))
numpy.savez(answers, **dataclasses.asdict(said))
"""


def test_only_export_imports_a_runtime_and_only_when_it_needs_it() -> None:
    exports = REPOSITORY / "training" / "reporting" / "bundles.py"
    files = sorted((REPOSITORY / "training").rglob("*.py"))
    assert exports in files
    for file in files:
        tree = ast.parse(file.read_text("utf-8"))
        anywhere, on_import = runtimes_in(ast.walk(tree)), runtimes_in(iter(tree.body))
        assert not on_import, file
        assert not anywhere or file == exports, file


def runtimes_in(nodes: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found & RUNTIMES


@pytest.fixture(scope="session", params=list(OTHERS))
def other_run(
    request: pytest.FixtureRequest,
    generated_data: Path,
    dataset: Dataset,
    config: Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """`scripts/train.py` under another backend, without TensorFlow; `answers.npz` holds what its network says."""
    backend: str = request.param
    if find_spec(backend) is None:
        pytest.skip(OTHERS[backend])
    folder = tmp_path_factory.mktemp(backend)
    np.save(folder / "patches.npy", patches_of(dataset, config))
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(REPOSITORY / "scripts" / "train.py")]
    command += ["--config", str(CONFIGS / "tiny.toml"), "--data", str(generated_data), "--out", str(folder)]
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
    command += [str(folder / "patches.npy"), str(folder / "answers.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"training with {backend}" in done.stdout
    return folder


def patches_of(dataset: Dataset, config: Config) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.stack([nodule_view(n, config.input.patch_spec).hu for n in dataset.nodules])


def test_the_same_weights_give_the_same_answers(other_run: Path, dataset: Dataset, config: Config) -> None:
    assert (other_run / NETWORK_FILE).is_file()
    here = predict(read_artefacts(other_run).network, patches_of(dataset, config))
    with np.load(other_run / "answers.npz") as there:
        for name in there.files:
            np.testing.assert_allclose(getattr(here, name), there[name], atol=PARITY, err_msg=name)


def test_weights_trained_under_another_backend_are_exported(
    other_run: Path, tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    bundle = tmp_path / "other-classifier" / "1"
    export_bundle(read_artefacts(other_run), tiny_run.evaluation, bundle)
    said = run_graph(bundle, patches_of(dataset, config))
    with np.load(other_run / "answers.npz") as there:
        np.testing.assert_allclose(said["embedding"], there["embedding"], atol=PARITY)
