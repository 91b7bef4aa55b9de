"""What training a second look leaves in a folder: `<network>.keras`, `<network>.json` and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any  # keras is untyped

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.inference.bundle import read_verified
from app.inference.detector import OUTPUT, DetectorManifest
from app.inference.suspicion import OUTPUTS
from training.data.datasets import read_dataset
from training.data.scans import read_scan
from training.detector.identity import weights_digest
from training.fitting.checkpoints import CHECKPOINT_FILE, Checkpoint
from training.fitting.network_backend import NetworkBackend, Outputs
from training.reporting.bundles import load_graph
from training.second_look.chest import read_chest_slices
from training.second_look.config import LookConfig
from training.second_look.false_findings import Ask, false_in_scan
from training.second_look.fit import train_network
from training.second_look.identity import look_facts
from training.second_look.pools import Sources, TrainingSet, training_set

FILTER_BATCH = 1024


class LookRun(BaseModel):
    """The record of one network: its recipe, the filter it looks behind, and how much of what it saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    config: LookConfig
    filter_digest: str
    weights: str
    patients: int
    samples: dict[str, int]
    scans: tuple[str, ...]
    chest_patients: int
    data: dict[str, str]


def look_backend(network: Any) -> NetworkBackend:
    """A trained network as the service runs one: float32 (N, size, size, 2) in HU to logits (N,) of `suspicious` and of
    `nodule`."""

    def answer(hu: NDArray[np.float32]) -> Outputs:
        said = network(hu, training=False)
        return {name: ops.convert_to_numpy(said[name])[:, 0] for name in OUTPUTS}

    return NetworkBackend(answer)


def train_networks(
    data: Path,
    config: LookConfig,
    filter_bundle: Path,
    folder: Path,
    names: Sequence[str] | None,
    *,
    restart: bool = False,
) -> None:
    """Train the named networks of `config`, or all, on the development data under `data` and write them into `folder`.

    False findings are those of the filter in `filter_bundle`. A run that was killed goes on from its last checkpoint
    to the same weights as if it had not been; `restart` begins anew. Raises what the readers raise, OtherRun where a
    checkpoint is of another run, and KeyError for a network that `config` does not hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest, digest = read_verified(filter_bundle, DetectorManifest)
    ask, spec = filter_of(filter_bundle), manifest.input.patch_spec
    sources = read_sources(data, config, ask, spec)
    for name in config.networks if names is None else names:
        seen = training_set(sources, config.networks[name], config, ask, spec)
        checkpoint = Checkpoint(folder, look_facts(seen, config), f"{name}.{CHECKPOINT_FILE}")
        if restart:
            checkpoint.discard()
        _write(folder, name, train_network(seen, config, name, checkpoint), seen, config, digest)


def filter_of(bundle: Path) -> Ask:
    """The candidate filter in a bundle as a function of (N, size, size) patches in HU to (N,) logits."""
    graph = load_graph(bundle)

    def ask(hu: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = np.split(hu, range(FILTER_BATCH, len(hu), FILTER_BATCH))
        return np.concatenate([graph(part)[OUTPUT].reshape(-1) for part in parts])

    return ask


def read_sources(data: Path, config: LookConfig, ask: Ask, spec: Any) -> Sources:
    """Everything under `data` that any network may learn from."""
    scans = {name: read_scan(data, name, scan) for name, scan in config.scans.items()}
    return Sources(
        dataset=read_dataset(data),
        scans=scans,
        false_in_scans={name: false_in_scan(scan, config.mining, ask, spec) for name, scan in scans.items()},
        chest_slices=read_chest_slices(data, config.chest_slices, config.mining, ask, spec),
    )


def read_network(folder: Path, name: str) -> tuple[Any, LookRun]:
    """A trained Keras model and its record; raises OSError when a file is missing."""
    run = LookRun.model_validate_json((folder / f"{name}.json").read_text("utf-8"))
    return keras.saving.load_model(folder / f"{name}.keras", compile=False), run


def _write(folder: Path, name: str, network: Any, seen: TrainingSet, config: LookConfig, filter_digest: str) -> None:
    run = LookRun(
        name=name,
        config=config,
        filter_digest=filter_digest,
        weights=weights_digest(network),
        patients=len(seen.dataset.patients),
        samples={source: len(pool) for source, pool in seen.pools.items()},
        scans=seen.scans,
        chest_patients=len(seen.chest_patients),
        data=dict(seen.dataset.digests),
    )
    (folder / f"{name}.json").write_text(run.model_dump_json(indent=1) + "\n", "utf-8")
    part = folder / f"{name}.part.keras"
    network.save(part)
    part.replace(folder / f"{name}.keras")
