"""A small generated dataset in the shape of the development folders, and one tiny run of everything."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import read_dataset
from training.data.nodules import TRAIT_SCALES, Dataset
from training.evaluation.cross_validation import cross_validate
from training.evaluation.held_out import HeldOut, HeldOutCandidates
from training.evaluation.results import EVALUATION_FILE, Evaluation, evaluate
from training.fitting.artefacts import describe, read_artefacts, write_artefacts
from training.fitting.config import Config, load_config
from training.fitting.train import train
from training.reporting.export import export_bundle

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
PATIENTS, NODULES_EACH = 8, 2


@dataclass(frozen=True)
class TinyRun:
    """What the three scripts leave behind, at two steps of training."""

    folder: Path
    bundle: Path
    held_out: HeldOut
    candidates: HeldOutCandidates
    evaluation: Evaluation


def write_generated_data(folder: Path) -> Path:
    """Spheres in lung: larger ones suspicious more often; two folds of four patients; a few candidates."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:71, :71] - 35
    rows, patches, outlines = [], [], []
    for k in range(PATIENTS * NODULES_EACH):
        patient, suspicious = k // NODULES_EACH, k % 2
        diameter = float(7 + 2 * suspicious + rng.uniform(-2, 2))
        inside = np.hypot(x, y) * 0.7 <= diameter / 2
        patches.append(np.where(inside, 40, -850) + rng.normal(0, 20, inside.shape))
        outlines.append(np.packbits(inside.ravel()))
        rating = ";".join(str(int(r)) for r in np.clip(2 + 2 * suspicious + rng.integers(-1, 2, 3) // 2, 1, 5))
        row = {"nodule_id": k + 1, "patient": f"P{patient}", "fold": patient % 2, "series_uid": f"1.2.{patient}"}
        row |= {"sop_uid": f"1.2.{patient}.{k}", "manufacturer": "generated", "pixel_spacing_mm": 0.7}
        row |= {"eq_diameter_mm": f"{diameter:.2f}", "malignancy": rating, "col": 100 + 60 * (k % 2), "row": 100}
        rows.append(row | {name: ";".join(map(str, rng.integers(1, 6, 3))) for name in TRAIT_SCALES})
    (folder / "lidc-nodules").mkdir(parents=True)
    with (folder / "lidc-nodules" / "nodules.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    ids = np.arange(1, len(rows) + 1)
    hu = np.stack(patches).astype(np.int16)
    np.savez(folder / "lidc-nodules" / "patches.npz", nodule_id=ids, hu=hu, outline=np.stack(outlines))
    _write_candidates(folder, rng)
    return folder


def _write_candidates(folder: Path, rng: np.random.Generator) -> None:
    count = 8
    (folder / "luna-candidates").mkdir()
    np.savez(
        folder / "luna-candidates" / "patches.npz",
        window=rng.integers(0, 256, (count, 50, 50)).astype(np.uint8),
        is_nodule=(np.arange(count) % 2).astype(np.uint8),
        candidate_id=np.arange(count),
        fold=np.arange(count) // 2 % 2,
    )


@pytest.fixture(scope="session")
def config() -> Config:
    """The configuration that proves the pipe."""
    return load_config(CONFIGS / "tiny.toml")


@pytest.fixture(scope="session")
def generated_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the development data."""
    return write_generated_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def dataset(generated_data: Path) -> Dataset:
    """The generated folder, read."""
    return read_dataset(generated_data)


@pytest.fixture(scope="session")
def tiny_run(dataset: Dataset, config: Config, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """Cross-validate, train, export: once for all tests."""
    folder = tmp_path_factory.mktemp("run")
    held_out, candidates = cross_validate(dataset, config)
    evaluation = evaluate(held_out, candidates, dataset, config, "pytest tests/training")
    (folder / EVALUATION_FILE).write_text(evaluation.text, "utf-8")
    trained = train(dataset, config)
    write_artefacts(folder, trained, describe(trained, dataset, config))
    bundle = folder / "tiny-classifier" / "1"
    export_bundle(read_artefacts(folder), evaluation, bundle)
    return TinyRun(folder, bundle, held_out, candidates, evaluation)
