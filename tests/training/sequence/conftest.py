"""A small set of generated stacks in the shape of the folder `nodule-stacks`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.conftest import CONFIGS
from training.sequence.artefacts import TrainedSequences, read_sequences, train_sequences
from training.sequence.config import SequenceConfig, load_config
from training.sequence.stacks import FOLDER, IMAGES, TABLE

PATIENTS, STACKS_EACH = 15, 2
MAKERS = ("GE MEDICAL SYSTEMS", "SIEMENS", "Philips")
Row = dict[str, object]


def stack_row(number: int, **changed: object) -> Row:
    """The row of one ball; suspicious ones are larger, mostly."""
    patient, suspicious = number // STACKS_EACH, number % 2
    row: Row = {"stack": number, "patient": f"P{patient}", "fold": patient % 5, "lesion_id": number}
    row |= {"malignancy_all": "4;4;5" if suspicious else "2;2;1", "manufacturer": MAKERS[patient % 3]}
    row |= {"pixel_spacing_mm": 0.7, "hu_r": "0.999", "window_low_hu": ""}
    return row | changed


def ball_images(number: int, slices: int = 5) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Grey values of a ball on its slices, and their heights in mm, from above or from below."""
    rng = np.random.default_rng(number)
    radius = 5 + 2 * (number % 2) + rng.uniform(-1.5, 1.5)
    heights = np.linspace(-0.8, 0.8, slices) * radius
    along = (np.arange(64) - 31.5) * 0.7
    squared = along[:, None] ** 2 + along**2
    grey = rng.integers(200, 240, (slices, 64, 64))
    images = [np.where(squared + z**2 <= radius**2, g, 0).astype(np.uint8) for z, g in zip(heights, grey, strict=True)]
    return images, (heights if number % 3 else -heights).tolist()


def write_stacks(folder: Path, rows: Sequence[Row], included: Mapping[int, Sequence[bool]] | None = None) -> Path:
    """Write the folder `nodule-stacks` under `folder`; returns `folder`."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with (folder / FOLDER / TABLE).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    stacks = [ball_images(int(str(row["stack"]))) for row in rows]
    kept = [(included or {}).get(k, [True] * len(images)) for k, (images, _) in enumerate(stacks)]
    np.savez(
        folder / FOLDER / IMAGES,
        image=np.concatenate([images for images, _ in stacks]),
        offset=np.cumsum([0, *(len(images) for images, _ in stacks)]),
        z_mm=np.concatenate([heights for _, heights in stacks]).astype(np.float32),
        included=np.concatenate(kept).astype(np.bool_),
    )
    return folder


@pytest.fixture(scope="session")
def stacks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [stack_row(k) for k in range(PATIENTS * STACKS_EACH)]
    return write_stacks(tmp_path_factory.mktemp("stacks"), rows)


@pytest.fixture(scope="session")
def recipe() -> SequenceConfig:
    """The shipped recipe with tiny networks for a few steps."""
    config = load_config(CONFIGS / "sequence.toml")
    spec = config.input.model_copy(update={"slices": 4, "size_px": 24})
    network = config.network.model_copy(update={"channels": (3, 4), "embedding": 5, "over_slices": 3})
    learning = config.learning.model_copy(update={"epochs": 2, "batch": 8, "ema_momentum": 0.9, "compiled": False})
    evaluation = config.evaluation.model_copy(update={"resamples": 20})
    changed = {"input": spec, "network": network, "learning": learning, "evaluation": evaluation, "checkpoint_steps": 2}
    return config.model_copy(update=changed)


@pytest.fixture(scope="session")
def undisturbed(stacks_folder: Path, recipe: SequenceConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train_sequences(stacks_folder, recipe, folder)
    return folder


@pytest.fixture(scope="session")
def trained(undisturbed: Path) -> TrainedSequences:
    return read_sequences(undisturbed)
