"""Networks over slices from stacks to a bundle: they go on where they stopped, are measured, exported and served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.sequence import NAME, OUTPUT, NoduleSequence
from tests.conftest import REPOSITORY
from tests.training.conftest import CONFIGS
from training.data.nodules import DatasetMalformed
from training.evaluation.calibration import sigmoid
from training.fitting.checkpoints import CHECKPOINT_FILE, OtherRun
from training.sequence.artefacts import LEFT_OUT, SHIPPED, TrainedSequences, read_sequences, train_sequences
from training.sequence.config import SequenceConfig, load_config
from training.sequence.export import export_sequence, golden_stack
from training.sequence.fit import logits
from training.sequence.held_out import GRU, WAYS
from training.sequence.network import build_network
from training.sequence.samples import arrays_of, sample_of
from training.sequence.stacks import read_stacks
from training.sequence.study import SequenceResults, measure, read_results

KILLED = Path(__file__).with_name("killed_sequence.py")
MAX_PARAMETERS = 50_000


def test_a_killed_process_ends_with_the_same_weights(
    stacks_folder: Path, recipe: SequenceConfig, trained: TrainedSequences, tmp_path: Path
) -> None:
    file, folder = tmp_path / "recipe.json", tmp_path / "out"
    file.write_text(recipe.model_dump_json(), "utf-8")
    given = map(str, (KILLED, file, stacks_folder, folder, 5))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run([sys.executable, *given], env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with np.load(folder / f"fold0.{CHECKPOINT_FILE}") as stored:
        assert 0 < len(stored["history"]) < 6
    train_sequences(stacks_folder, recipe, folder)
    again = read_sequences(folder)
    assert again.run == trained.run
    for name in LEFT_OUT:
        for a, b in zip(trained.networks[name].get_weights(), again.networks[name].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_another_recipe_is_refused(
    stacks_folder: Path, recipe: SequenceConfig, undisturbed: Path
) -> None:
    other = recipe.model_copy(update={"seed": recipe.seed + 1})
    with pytest.raises(OtherRun, match="seed"):
        train_sequences(stacks_folder, other, undisturbed)


def test_missing_slices_change_nothing(trained: TrainedSequences, stacks_folder: Path) -> None:
    contract = trained.run.config.input.contract
    samples = [sample_of(stack, contract) for stack in read_stacks(stacks_folder)[:4]]
    arrays = arrays_of(samples, contract)
    arrays[:, 2:] = 0
    (alone, together), (short, of_short) = (logits(trained.networks[SHIPPED], each) for each in (arrays, arrays[:, :2]))
    np.testing.assert_allclose(together, of_short, atol=1e-5)
    np.testing.assert_allclose(alone[:, :2], short, atol=1e-5)


@pytest.fixture(scope="module")
def results(
    trained: TrainedSequences, stacks_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> SequenceResults:
    file = tmp_path_factory.mktemp("results") / "sequence.json"
    measure(trained, stacks_folder, file)
    return read_results(file)


@pytest.fixture(scope="module")
def bundle(trained: TrainedSequences, results: SequenceResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / NAME / "1"
    export_sequence(trained, results, path)
    return path


def test_both_runtimes_say_what_the_network_says(
    bundle: Path, trained: TrainedSequences, results: SequenceResults, stacks_folder: Path
) -> None:
    contract = trained.run.config.input.contract
    arrays = arrays_of([sample_of(stack, contract) for stack in read_stacks(stacks_folder)], contract)
    _, together = logits(trained.networks[SHIPPED], arrays)
    line = results.calibration
    for backend in (OpenVINOBackend(1), TensorFlowBackend(1)):
        NoduleSequence.verified(bundle, backend).load()
        expected = sigmoid(line.slope * together + line.intercept)
        np.testing.assert_allclose(backend.run(arrays)[OUTPUT], expected, atol=1e-5)


def test_every_way_is_measured_and_stands_in_the_card(bundle: Path, results: SequenceResults) -> None:
    assert set(results.auc) == set(results.size_matched_auc) == set(WAYS)
    assert {f"{GRU} - diameter", f"{GRU} - mean", "maximum - middle_slice"} <= set(results.auc_differences)
    assert (results.nodules, results.suspicious, results.patients) == (30, 15, 15)
    card = (bundle / "MODEL_CARD.md").read_text("utf-8")
    for figure in (*results.auc.values(), *results.probabilities.values()):
        assert f"{figure.value:.3f}" in card
    manifest = NoduleSequence.verified(bundle, OpenVINOBackend(1)).manifest
    assert manifest.performance.figures["auc_gru"] == results.auc[GRU]


def test_figures_of_other_weights_and_of_other_stacks_are_refused(
    trained: TrainedSequences, results: SequenceResults, tmp_path: Path, stacks_folder: Path
) -> None:
    with pytest.raises(DatasetMalformed, match="figures of weights sha256:other"):
        export_sequence(trained, results.model_copy(update={"weights": "sha256:other"}), tmp_path / NAME / "1")
    assert not (tmp_path / NAME).exists()
    other = TrainedSequences(trained.networks, trained.run.model_copy(update={"data": "sha256:other"}))
    with pytest.raises(DatasetMalformed, match="those trained on, sha256:other"):
        measure(other, stacks_folder, tmp_path / "results.json")


def test_the_shipped_recipe_is_small_and_its_golden_input_whole() -> None:
    config = load_config(CONFIGS / "sequence.toml")
    assert build_network(config, config.seed).count_params() <= MAX_PARAMETERS
    stack = golden_stack(config.input.contract)
    np.testing.assert_array_equal(stack, stack.astype(np.int16))
