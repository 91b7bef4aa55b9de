"""What one training run leaves in its folder, and how it is read back for export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any  # keras is untyped

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict

from training.data.nodules import Dataset
from training.fitting.config import Config
from training.fitting.history import LOG_FILE, draw_curves, learning_summary, read_log, write_log
from training.fitting.samples import nodule_view
from training.fitting.train import TrainedNetwork, predict
from training.fitting.whitening import Whitening, fit_whitening, local_scale

NETWORK_FILE = "network.keras"
RUN_FILE = "training.json"
WHITENING_FILE = "whitening.npz"


class Run(BaseModel):
    """`training.json`: the configuration, the data and the last losses of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: Config
    nodules: int
    patients: int
    candidates: int
    false_findings: int = 0
    data: dict[str, str]
    local_scale: float
    losses: dict[str, float]

    @property
    def text(self) -> str:
        """The file as it is written."""
        return self.model_dump_json(indent=2) + "\n"


@dataclass(frozen=True, slots=True, eq=False)
class Artefacts:
    """A finished run: the Keras model, the statistics of its training embeddings, and its record."""

    network: Any
    whitening: Whitening
    run: Run


def describe(trained: TrainedNetwork, dataset: Dataset, config: Config) -> Artefacts:
    """Collect what export needs from a network and the data it was trained on."""
    said = predict(trained.network, np.stack([nodule_view(n, config.input.patch_spec).hu for n in dataset.nodules]))
    run = Run(
        config=config,
        nodules=len(dataset.nodules),
        patients=len(dataset.patients),
        candidates=len(dataset.candidates),
        false_findings=len(dataset.false_findings),
        data=dict(dataset.digests),
        local_scale=local_scale(said.local),
        losses=learning_summary(trained.history),
    )
    return Artefacts(trained.network, fit_whitening(said.embedding, config.calibration.shrinkage), run)


def write_artefacts(folder: Path, trained: TrainedNetwork, artefacts: Artefacts) -> None:
    """Write the run's files into `folder`, creating it."""
    write_network(folder, trained)
    np.savez(folder / WHITENING_FILE, mean=artefacts.whitening.mean, matrix=artefacts.whitening.matrix)
    (folder / RUN_FILE).write_text(artefacts.run.text, "utf-8")


def write_network(folder: Path, trained: TrainedNetwork) -> None:
    """Write the network, its log and its learning curves into `folder`, creating it."""
    folder.mkdir(parents=True, exist_ok=True)
    trained.network.save(folder / NETWORK_FILE)
    write_log(folder, trained.history)
    draw_curves(folder, trained.history)


def read_trained(folder: Path) -> TrainedNetwork:
    """Read what `write_network` wrote; raises OSError when a file is missing."""
    network = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
    return TrainedNetwork(network, tuple(read_log(folder / LOG_FILE)))


def read_artefacts(folder: Path) -> Artefacts:
    """Read what `write_artefacts` wrote; raises OSError when a file is missing."""
    with np.load(folder / WHITENING_FILE) as stored:
        whitening = Whitening(stored["mean"], stored["matrix"])
    run = Run.model_validate_json((folder / RUN_FILE).read_text("utf-8"))
    return Artefacts(keras.saving.load_model(folder / NETWORK_FILE, compile=False), whitening, run)
