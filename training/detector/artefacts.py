"""What training a candidate filter leaves in a folder: `<filter>.keras`, `<filter>.json` and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final  # keras is untyped

import keras
from pydantic import BaseModel, ConfigDict

from training.data.datasets import read_dataset
from training.data.scans import read_scan
from training.detector.config import DetectorConfig
from training.detector.fit import TrainingSet, train_base, train_filter, training_set
from training.detector.identity import filter_facts
from training.fitting.artefacts import NETWORK_FILE
from training.fitting.checkpoints import CHECKPOINT_FILE, Checkpoint
from training.fitting.identity import Facts

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


def train_filters(
    data: Path, config: DetectorConfig, folder: Path, names: Sequence[str] | None, *, restart: bool = False
) -> None:
    """Train the named filters of `config`, or all, on the development data under `data` and write them into `folder`.

    The base is taken from `folder` where it is there already. A run that was killed goes on from its last checkpoint
    to the same weights as if it had not been; `restart` begins anew, with a new base. Raises what the readers raise,
    OtherRun where a checkpoint is of another run, and KeyError for a filter that `config` does not hold.
    """
    names = list(config.filters) if names is None else names
    folder.mkdir(parents=True, exist_ok=True)
    dataset = read_dataset(data)
    scans = {name: read_scan(data, name, scan) for name, scan in config.scans.items()}
    if restart:
        _discard(folder, (BASE, *names))
    if not (folder / f"{BASE}.keras").is_file():
        seen = training_set(dataset, scans, config.base, config)
        checkpoint = _checkpoint(folder, BASE, filter_facts(seen, config))
        _write(folder, BASE, train_base(seen, config, checkpoint), seen, config)
    base, _ = read_filter(folder, BASE)
    for name in names:
        seen = training_set(dataset, scans, config.filters[name], config)
        checkpoint = _checkpoint(folder, name, filter_facts(seen, config, base))
        _write(folder, name, train_filter(base, seen, config, name, checkpoint), seen, config)


def read_filter(folder: Path, name: str) -> tuple[Any, FilterRun]:
    """A trained Keras model and its record; raises OSError when a file is missing."""
    run = FilterRun.model_validate_json((folder / f"{name}.json").read_text("utf-8"))
    return keras.saving.load_model(folder / f"{name}.keras", compile=False), run


def read_classifier(evaluation: Path, fold: int) -> Any:
    """The nodule classifier's Keras model that left out `fold`, from what `scripts/evaluate.py` writes.

    Raises ValueError, as Keras does, when it is not there.
    """
    return keras.saving.load_model(evaluation / f"fold{fold}" / NETWORK_FILE, compile=False)


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
    (folder / f"{name}.json").write_text(run.model_dump_json(indent=1) + "\n", "utf-8")
    # The network last and whole: a base that is there is taken as it is.
    part = folder / f"{name}.part.keras"
    network.save(part)
    part.replace(folder / f"{name}.keras")


def _checkpoint(folder: Path, name: str, facts: Facts) -> Checkpoint:
    return Checkpoint(folder, facts, f"{name}.{CHECKPOINT_FILE}")


def _discard(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / f"{name}.keras").unlink(missing_ok=True)
        _checkpoint(folder, name, {}).discard()
