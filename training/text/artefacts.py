"""What training a report tagger leaves in a folder: `member<n>.weights.h5` and checkpoints, `training.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # keras is untyped

from pydantic import BaseModel, ConfigDict

from training.fitting.checkpoints import CHECKPOINT_FILE, Checkpoint
from training.text.config import TaggerConfig
from training.text.fit import train_member
from training.text.identity import tagger_facts
from training.text.network import build_tagger
from training.text.reports import of_split, read_reports, reports_digest
from training.text.samples import vocabulary_of, windows_of

RUN_FILE: Final = "training.json"


class TaggerRun(BaseModel):
    """The record of a run: its recipe, its vocabulary, and how much it saw of what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: TaggerConfig
    vocabulary: tuple[str, ...]
    reports: int
    ids: tuple[str, ...]
    sentences: int
    data: str


@dataclass(frozen=True, slots=True, eq=False)
class TrainedTagger:
    """A finished run: its networks and its record."""

    members: tuple[Any, ...]
    run: TaggerRun


def train_tagger(data: Path, config: TaggerConfig, folder: Path, *, restart: bool = False) -> None:
    """Train the networks of `config` on the split `train` under `data` and write them into `folder`.

    A run that was killed goes on from its last checkpoint to the same weights as if it had not been; `restart` begins
    anew. Raises what `read_reports` raises, and OtherRun where a checkpoint is of another run.
    """
    reports = of_split(read_reports(data), "train")
    vocabulary = vocabulary_of(reports, config.input.min_count)
    windows = windows_of(reports, vocabulary, config.input)
    folder.mkdir(parents=True, exist_ok=True)
    facts = tagger_facts(reports, config)
    for member in range(config.members):
        checkpoint = Checkpoint(folder, facts, f"member{member}.{CHECKPOINT_FILE}")
        if restart:
            checkpoint.discard()
        network = train_member(windows, len(vocabulary), config, member, checkpoint)
        network.save_weights(_weights(folder, member))
    run = TaggerRun(
        config=config,
        vocabulary=vocabulary,
        reports=len(reports),
        ids=tuple(sorted({report.id for report in reports})),
        sentences=sum(len(report.sentences) for report in reports),
        data=reports_digest(reports),
    )
    (folder / RUN_FILE).write_text(run.model_dump_json(indent=1) + "\n", "utf-8")


def read_tagger(folder: Path) -> TrainedTagger:
    """Read what `train_tagger` wrote; raises OSError when a file is missing."""
    run = TaggerRun.model_validate_json((folder / RUN_FILE).read_text("utf-8"))
    members = []
    for member in range(run.config.members):
        network = build_tagger(len(run.vocabulary), run.config, run.config.seed)
        network.load_weights(_weights(folder, member))
        members.append(network)
    return TrainedTagger(tuple(members), run)


def _weights(folder: Path, member: int) -> Path:
    return folder / f"member{member}.weights.h5"
