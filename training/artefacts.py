"""What one training run leaves in its folder, and how it is read back for export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any  # keras is untyped

import keras
import matplotlib
import numpy as np
from pydantic import BaseModel, ConfigDict

from training.calibrate import Whitening, fit_whitening, local_scale
from training.config import Config
from training.datasets import Dataset
from training.samples import nodule_view
from training.train import TrainedNetwork, learning_summary, predict

NETWORK_FILE = "network.keras"
RUN_FILE = "training.json"
WHITENING_FILE = "whitening.npz"
HISTORY_FILE = "losses.csv"
CURVES_FILE = "losses.png"
SMOOTHING_STEPS = 20


class Run(BaseModel):
    """`training.json`: the configuration, the data and the last losses of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: Config
    nodules: int
    patients: int
    candidates: int
    data: dict[str, str]
    local_scale: float
    losses: dict[str, float]


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
        data=dict(dataset.digests),
        local_scale=local_scale(said.local),
        losses=learning_summary(trained.history),
    )
    return Artefacts(trained.network, fit_whitening(said.embedding, config.calibration.shrinkage), run)


def write_artefacts(folder: Path, trained: TrainedNetwork, artefacts: Artefacts) -> None:
    """Write the run's files into `folder`, creating it."""
    folder.mkdir(parents=True, exist_ok=True)
    artefacts.network.save(folder / NETWORK_FILE)
    np.savez(folder / WHITENING_FILE, mean=artefacts.whitening.mean, matrix=artefacts.whitening.matrix)
    (folder / RUN_FILE).write_text(artefacts.run.model_dump_json(indent=2) + "\n", "utf-8")
    write_history(folder, trained.history)


def read_artefacts(folder: Path) -> Artefacts:
    """Read what `write_artefacts` wrote; raises OSError when a file is missing."""
    with np.load(folder / WHITENING_FILE) as stored:
        whitening = Whitening(stored["mean"], stored["matrix"])
    run = Run.model_validate_json((folder / RUN_FILE).read_text("utf-8"))
    return Artefacts(keras.saving.load_model(folder / NETWORK_FILE, compile=False), whitening, run)


def write_history(folder: Path, history: tuple[dict[str, float], ...]) -> None:
    """Losses of every step as CSV, and their running means as a picture."""
    names = list(history[0])
    lines = [",".join(["step", *names])]
    lines += [",".join([str(k), *(f"{step[name]:.6g}" for name in names)]) for k, step in enumerate(history)]
    (folder / HISTORY_FILE).write_text("\n".join(lines) + "\n", "utf-8")
    matplotlib.use("Agg")
    from matplotlib import pyplot  # after the backend is chosen: a server has no display

    figure, axes = pyplot.subplots(figsize=(7, 4))
    width = min(SMOOTHING_STEPS, len(history))
    for name in names:
        axes.plot(np.convolve([step[name] for step in history], np.ones(width) / width, "valid"), label=name)
    axes.set(xlabel="step", ylabel=f"loss, mean of {width} steps", yscale="log")
    axes.legend()
    figure.savefig(folder / CURVES_FILE, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
