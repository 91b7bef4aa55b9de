"""A run that is stopped or killed goes on and ends with the weights it would have had."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any  # keras is untyped

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.conftest import CONFIGS
from training.data.nodules import Dataset
from training.evaluation import cross_validation
from training.evaluation.cross_validation import PREDICTIONS_FILE, RUN_FILE, cross_validate
from training.evaluation.held_out import HeldOut
from training.fitting.architectures import build_network
from training.fitting.artefacts import NETWORK_FILE
from training.fitting.averaging import WeightAverage
from training.fitting.batches import Batch, BatchSource
from training.fitting.checkpoints import CHECKPOINT_FILE, Checkpoint, OtherRun, TrainingState, facts_in, write_whole
from training.fitting.config import Config, load_config
from training.fitting.history import LOG_FILE
from training.fitting.identity import code_digest, data_digest
from training.fitting.train import TrainedNetwork, train

REPOSITORY = CONFIGS.parents[1]
KILLED_TRAINER = Path(__file__).with_name("killed_trainer.py")
STEPS, CHECKPOINT_STEPS, STOPPED_AT = 6, 2, 5
LONGER = f"""
extends = "{(CONFIGS / "tiny.toml").as_posix()}"
[optimiser]
steps = {STEPS}
ema_momentum = 0.9
[run]
checkpoint_steps = {CHECKPOINT_STEPS}
"""


class Stopped(Exception):
    """What stops a run in these tests."""


@pytest.fixture(scope="session")
def longer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "longer.toml"
    file.write_text(LONGER, "utf-8")
    return file


@pytest.fixture(scope="session")
def longer(longer_file: Path) -> Config:
    return load_config(longer_file)


@pytest.fixture(scope="session")
def uninterrupted(dataset: Dataset, longer: Config) -> TrainedNetwork:
    return train(dataset, longer)


@pytest.fixture(scope="session")
def stopped_run(dataset: Dataset, longer: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that stopped on the way."""
    folder = tmp_path_factory.mktemp("stopped")
    prepare = BatchSource.__call__

    def prepare_or_stop(source: BatchSource, number: int) -> Batch:
        if number == STOPPED_AT:
            raise Stopped
        return prepare(source, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BatchSource, "__call__", prepare_or_stop)
        with pytest.raises(Stopped):
            train(dataset, longer, folder=folder)
    return folder


@pytest.fixture(scope="session")
def validated(dataset: Dataset, config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[HeldOut, Path]:
    """What a whole cross-validation found, and its folder."""
    folder = tmp_path_factory.mktemp("validated")
    return cross_validate(dataset, config, folder)[0], folder


@pytest.fixture
def stopped(stopped_run: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(stopped_run, tmp_path / "stopped")


def state_of(trained: TrainedNetwork) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Weights, batch-norm statistics and the state of dropout's seeds."""
    return [np.asarray(variable.numpy()) for variable in trained.network.variables]


def require_identical(one: TrainedNetwork, other: TrainedNetwork) -> None:
    for a, b in zip(state_of(one), state_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]


def test_a_stopped_run_ends_with_the_same_weights(
    stopped: Path, dataset: Dataset, longer: Config, uninterrupted: TrainedNetwork
) -> None:
    with np.load(stopped / CHECKPOINT_FILE) as stored:
        assert len(stored["history"]) == STOPPED_AT // CHECKPOINT_STEPS * CHECKPOINT_STEPS
    require_identical(train(dataset, longer, folder=stopped), uninterrupted)
    rows = list(csv.DictReader((stopped / LOG_FILE).read_text("utf-8").splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(STEPS))
    assert all(float(row["images_per_s"]) > 0 for row in rows)
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[1] == max(rates) == pytest.approx(longer.optimiser.learning_rate)


def test_a_run_ends_with_the_average_of_its_weights(
    dataset: Dataset, longer: Config, uninterrupted: TrainedNetwork
) -> None:
    optimiser = longer.optimiser.model_copy(update={"ema_momentum": 0.0})
    last = train(dataset, longer.model_copy(update={"optimiser": optimiser}))
    begun = build_network(longer)
    assert [row["loss"] for row in last.history] == [row["loss"] for row in uninterrupted.history]
    networks = (uninterrupted.network, last.network, begun)
    for averaged, at_end, at_start in zip(*map(kernels_and_a_running_mean, networks), strict=True):
        assert not np.array_equal(averaged, at_end)
        assert not np.array_equal(averaged, at_start)


def kernels_and_a_running_mean(network: Any) -> list[NDArray[np.float32]]:
    """Of the heads, and of the first normalisation."""
    heads = [network.get_layer(name).get_weights()[0] for name in ("malignancy", "nodule", "traits", "mask")]
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    return [*heads, np.asarray(first.moving_mean)]


def test_who_reads_the_old_file_reads_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    write_whole(path, {"x": np.zeros(1000)}, {"run": "old"})
    with path.open("rb") as stream:
        write_whole(path, {"x": np.ones(5000)}, {"run": "new"})
        with np.load(stream) as stored:
            assert facts_in(stored) == {"run": "old"}
            assert not stored["x"].any()
    with np.load(path) as stored:
        assert facts_in(stored) == {"run": "new"}
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]


def test_a_killed_process_ends_with_the_same_weights(
    dataset: Dataset,
    longer: Config,
    longer_file: Path,
    generated_data: Path,
    uninterrupted: TrainedNetwork,
    tmp_path: Path,
) -> None:
    command = [sys.executable, str(KILLED_TRAINER), "--config", str(longer_file)]
    command += ["--data", str(generated_data), "--out", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / NETWORK_FILE).exists()
    with np.load(tmp_path / CHECKPOINT_FILE) as stored:
        assert 0 < len(stored["history"]) < STEPS
    require_identical(train(dataset, longer, folder=tmp_path), uninterrupted)


def test_a_finished_run_is_not_trained_again(
    stopped: Path, dataset: Dataset, longer: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(dataset, longer, folder=stopped)
    monkeypatch.setattr(BatchSource, "__call__", None)
    require_identical(train(dataset, longer, folder=stopped), first)


def test_another_run_is_refused_naming_what_differs(stopped: Path, dataset: Dataset, longer: Config) -> None:
    faster = longer.model_copy(update={"optimiser": longer.optimiser.model_copy(update={"learning_rate": 0.01})})
    with pytest.raises(OtherRun, match=r"optimiser\.learning_rate: 0\.003 there, 0\.01 here"):
        train(dataset, faster, folder=stopped)
    fewer = replace(dataset, nodules=dataset.nodules[1:])
    with pytest.raises(OtherRun, match=r"data: sha256:\w+ there, sha256:\w+ here.*--restart"):
        train(fewer, longer, folder=stopped)


def test_restart_discards_the_other_run(stopped: Path, dataset: Dataset, config: Config) -> None:
    assert len(train(dataset, config, folder=stopped, restart=True).history) == config.optimiser.steps


def test_how_the_work_is_done_does_not_make_another_run(stopped: Path, dataset: Dataset, longer: Config) -> None:
    rarer = longer.model_copy(update={"run": longer.run.model_copy(update={"checkpoint_steps": 5}), "name": "other"})
    assert len(train(dataset, rarer, folder=stopped).history) == STEPS


def test_an_unfinished_checkpoint_is_not_read(
    stopped: Path, dataset: Dataset, longer: Config, uninterrupted: TrainedNetwork
) -> None:
    (stopped / CHECKPOINT_FILE).with_suffix(".part").write_bytes(b"half a file")
    require_identical(train(dataset, longer, folder=stopped), uninterrupted)


@pytest.mark.parametrize(
    ("lost", "trained_again"), [(PREDICTIONS_FILE, []), (RUN_FILE, []), (NETWORK_FILE, []), (None, ["fold 2/2"])]
)
def test_what_is_kept_of_a_fold_is_used_and_the_rest_is_made(
    validated: tuple[HeldOut, Path],
    dataset: Dataset,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: str | None,
    trained_again: list[str],
) -> None:
    whole, folder = validated
    trained: list[str] = []

    def train_and_tell(*given: object, label: str, **named: object) -> TrainedNetwork:
        trained.append(label)
        return train(*given, label=label, **named)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(cross_validation, "train", train_and_tell)
    copied = shutil.copytree(folder, tmp_path / "copied")
    if lost is None:
        shutil.rmtree(copied / "fold1")
    else:
        (copied / "fold1" / lost).unlink()
    again, _ = cross_validate(dataset, config, copied)
    assert trained == trained_again
    for name in HeldOut.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_data_is_known_by_its_contents(dataset: Dataset) -> None:
    first = dataset.nodules[0]
    same = replace(dataset, nodules=(replace(first, hu=first.hu.copy()), *dataset.nodules[1:]), digests=())
    assert data_digest(same) == data_digest(dataset)
    brighter = replace(dataset, nodules=(replace(first, hu=first.hu + np.int16(1)), *dataset.nodules[1:]))
    assert data_digest(brighter) != data_digest(dataset)


def test_code_is_known_by_its_statements(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    digests = []
    for text in ('"""Says."""\nX = 1\n', '"""Says more."""\n\nX = 1  # one\n', '"""Says."""\nX = 2\n'):
        file.write_text(text, "utf-8")
        digests.append(code_digest(file))
    assert digests[0] == digests[1] != digests[2]


class Variable:
    """A weight that counts up."""

    dtype = "float32"

    def __init__(self) -> None:
        self.value: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.zeros(1, np.float32)

    def numpy(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return self.value

    def assign(self, value: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        self.value = value


class Network:
    """One weight."""

    def __init__(self) -> None:
        self.variables = [Variable()]


def test_a_checkpoint_that_tells_nothing_of_its_run_is_refused(tmp_path: Path) -> None:
    checkpoint, network = Checkpoint(tmp_path, {"seed": "1"}), Network()
    np.savez(checkpoint.path, history=np.zeros((1, 1)), names=np.array(["loss"]))
    with pytest.raises(OtherRun, match="seed: nothing there, 1 here"):
        checkpoint.restore(TrainingState(network, network, WeightAverage(network, 0.0)))


def test_the_average_weighs_recent_steps_most() -> None:
    network = Network()
    average = WeightAverage(network, 0.5)
    expected = 0.0
    for step in range(20):
        network.variables[0].assign(np.full(1, step, np.float32))
        average.update(step)
        momentum = min(0.5, (1 + step) / (10 + step))
        expected = momentum * expected + (1 - momentum) * step
    average.apply()
    assert network.variables[0].value[0] == pytest.approx(expected, rel=1e-5)


def test_without_momentum_the_weights_stay() -> None:
    network = Network()
    average = WeightAverage(network, 0.0)
    network.variables[0].assign(np.ones(1, np.float32))
    average.update(0)
    average.apply()
    assert average.values == []
    assert network.variables[0].value[0] == 1
