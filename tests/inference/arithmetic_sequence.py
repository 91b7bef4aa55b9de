"""A network over slices whose answers are arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.inference.backends import Outputs
from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    EncodedArray,
    GoldenCase,
    Interval,
    TrainingData,
    bundle_files,
    file_digest,
)
from app.inference.sequence import (
    HU,
    INSIDE,
    NAME,
    OUTPUT,
    MaskedSlice,
    NoduleSequence,
    SequenceManifest,
    SequencePerformance,
    StackContract,
    stack_of,
)
from tests.fakes import CARD, Held

CONTRACT = StackContract(slices=4, size_px=16, spacing_mm=2.0, clip_hu=(-1000, 400), inset_px=0.5)


class ArithmeticSequence(Held):
    """suspicion = (mean HU inside all outlines + 1000) / 2000."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        inside = hu[..., INSIDE]
        mean = (hu[..., HU] * inside).sum(axis=(1, 2, 3)) / inside.sum(axis=(1, 2, 3))
        return {OUTPUT: np.clip((mean + 1000) / 2000, 0, 1).astype(np.float32)}


def disc_slice(diameter_px: float, height_mm: float, hu: float, spacing_mm: float = 1.0) -> MaskedSlice:
    """A disc of one HU in lung on a slice of 64 x 64 pixels."""
    along = np.arange(64) - 31.5
    inside = np.hypot(along[:, None], along) <= diameter_px / 2
    return MaskedSlice(np.where(inside, hu, -850).astype(np.float32), inside, (spacing_mm, spacing_mm), height_mm)


def write_sequence(folder: Path) -> Path:
    """Write a bundle for ArithmeticSequence under `folder`; returns its path."""
    path = folder / NAME / "1"
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"arithmetic needs no graph")
    (path / CARD_FILE).write_text(CARD, "utf-8")
    (path / MANIFEST_FILE).write_text(sequence_manifest(path).model_dump_json(indent=1), "utf-8")
    return path


def arithmetic_sequence(folder: Path) -> NoduleSequence:
    """The network written under `folder`, running."""
    network = NoduleSequence.verified(write_sequence(folder), ArithmeticSequence())
    network.load()
    return network


def sequence_manifest(path: Path) -> SequenceManifest:
    """A manifest whose digests are those of the files in `path`."""
    stack = stack_of([disc_slice(12, 0, 40), disc_slice(10, 2, 40)], CONTRACT)
    return SequenceManifest(
        schema_version=1,
        name=NAME,
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=CONTRACT,
        outputs=("suspicion",),
        training_data=(
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        performance=SequencePerformance(
            command="none",
            protocol="none",
            nodules=0,
            patients=0,
            figures={"auc_gru": Interval(value=0.9, low=0, high=1)},
        ),
        golden=GoldenCase(
            description="two discs",
            hu=EncodedArray.encode(stack.astype(np.int16)),
            outputs={OUTPUT: EncodedArray.encode(ArithmeticSequence().answer(stack[None])[OUTPUT][0])},
            tolerance=1e-3,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )
