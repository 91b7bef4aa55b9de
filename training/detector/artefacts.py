"""What training a candidate filter leaves in a folder: `<filter>.keras` and `<filter>.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final  # keras is untyped

import keras
from pydantic import BaseModel, ConfigDict

from training.data.datasets import read_dataset
from training.detector.config import DetectorConfig
from training.detector.fit import TrainingSet, train_base, train_filter, training_set
from training.detector.scans import read_scan
from training.fitting.artefacts import NETWORK_FILE

BASE: Final = "base"


class FilterRun(BaseModel):
    """The record of one filter: its recipe and how much of what it saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    config: DetectorConfig
    nodules: int
    patients: int
    luna_candidates: int
    patch_blobs: int
    scan_blobs: dict[str, int]
    data: dict[str, str]


def train_filters(data: Path, config: DetectorConfig, folder: Path, names: Sequence[str]) -> None:
    """Train the named filters of `config` on the development data under `data` and write them into `folder`.

    The base is taken from `folder` where it is there already. Raises what the readers raise, and KeyError for a filter
    that `config` does not hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = read_dataset(data)
    scans = {name: read_scan(data, name, scan) for name, scan in config.scans.items()}
    if not (folder / f"{BASE}.keras").is_file():
        seen = training_set(dataset, scans, config.base, config)
        _write(folder, BASE, train_base(seen, config), seen, config)
    base, _ = read_filter(folder, BASE)
    for name in names:
        seen = training_set(dataset, scans, config.filters[name], config)
        _write(folder, name, train_filter(base, seen, config, name), seen, config)


def read_filter(folder: Path, name: str) -> tuple[Any, FilterRun]:
    """A trained Keras model and its record; raises OSError when a file is missing."""
    run = FilterRun.model_validate_json((folder / f"{name}.json").read_text("utf-8"))
    return keras.saving.load_model(folder / f"{name}.keras", compile=False), run


def read_classifier(evaluation: Path, fold: int) -> Any:
    """The nodule classifier's Keras model that left out `fold`, from what `scripts/evaluate.py` writes.

    Raises ValueError, as Keras does, when it is not there.
    """
    return keras.saving.load_model(evaluation / f"fold{fold}" / NETWORK_FILE, compile=False)


def weights_digest(network: Any) -> str:
    """sha256 of a network's weights, in order."""
    digest = hashlib.sha256()
    for weight in network.get_weights():
        digest.update(weight.tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def _write(folder: Path, name: str, network: Any, seen: TrainingSet, config: DetectorConfig) -> None:
    run = FilterRun(
        name=name,
        config=config,
        nodules=len(seen.dataset.nodules),
        patients=len(seen.dataset.patients),
        luna_candidates=len(seen.dataset.candidates),
        patch_blobs=len(seen.patch_blobs),
        scan_blobs={scan: len(blobs) for scan, blobs in seen.scan_blobs.items()},
        data=dict(seen.dataset.digests),
    )
    network.save(folder / f"{name}.keras")
    (folder / f"{name}.json").write_text(run.model_dump_json(indent=1) + "\n", "utf-8")
