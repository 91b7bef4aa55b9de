"""What training leaves in a folder: `<network>.weights.h5` and a checkpoint for each network, and `training.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # keras is untyped

from pydantic import BaseModel, ConfigDict

from training.data.nodules import FOLDS
from training.fitting.checkpoints import CHECKPOINT_FILE, Checkpoint
from training.sequence.config import SequenceConfig
from training.sequence.fit import train_network
from training.sequence.identity import sequence_facts
from training.sequence.network import build_network
from training.sequence.samples import sample_of
from training.sequence.stacks import read_stacks, require_apart, stacks_digest

RUN_FILE: Final = "training.json"
SHIPPED: Final = "shipped"
# Each network and the fold of patients that it leaves out.
LEFT_OUT: Final[Mapping[str, int | None]] = {**{f"fold{k}": k for k in range(FOLDS)}, SHIPPED: None}


class SequenceRun(BaseModel):
    """The record of a run: its recipe, and which patients each network has seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: SequenceConfig
    data: str
    stacks: int
    seen: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedSequences:
    """A finished run: its networks by name, and its record."""

    networks: Mapping[str, Any]
    run: SequenceRun


def train_sequences(data: Path, config: SequenceConfig, folder: Path, *, restart: bool = False) -> None:
    """Train a network without each fold of the stacks under `data`, and one on all, and write them into `folder`.

    A run that was killed goes on from its last checkpoint to the same weights as if it had not been; `restart` begins
    anew. Raises what `read_stacks` raises, and OtherRun where a checkpoint is of another run.
    """
    stacks, digest = read_stacks(data), stacks_digest(data)
    require_apart(stacks)
    samples = {stack.number: sample_of(stack, config.input.contract) for stack in stacks}
    folder.mkdir(parents=True, exist_ok=True)
    seen = {}
    for name, fold in LEFT_OUT.items():
        shown = [stack for stack in stacks if stack.fold != fold]
        checkpoint = Checkpoint(folder, sequence_facts(digest, fold, config), f"{name}.{CHECKPOINT_FILE}")
        if restart:
            checkpoint.discard()
        network = train_network([samples[stack.number] for stack in shown], config, name, checkpoint)
        network.save_weights(_weights(folder, name))
        seen[name] = tuple(sorted({stack.patient for stack in shown}))
    run = SequenceRun(config=config, data=digest, stacks=len(stacks), seen=seen)
    (folder / RUN_FILE).write_text(run.model_dump_json(indent=1) + "\n", "utf-8")


def read_sequences(folder: Path) -> TrainedSequences:
    """Read what `train_sequences` wrote; raises OSError when a file is missing."""
    run = SequenceRun.model_validate_json((folder / RUN_FILE).read_text("utf-8"))
    networks = {}
    for name in LEFT_OUT:
        networks[name] = build_network(run.config, run.config.seed)
        networks[name].load_weights(_weights(folder, name))
    return TrainedSequences(networks, run)


def _weights(folder: Path, name: str) -> Path:
    return folder / f"{name}.weights.h5"
