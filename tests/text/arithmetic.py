"""A tagger whose answers are arithmetic."""

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
from app.text.tagger import (
    NAME,
    OUTPUT,
    VOCABULARY_FILE,
    TaggerLabel,
    TaggerManifest,
    TaggerPerformance,
    TextContract,
    vocabulary_text,
)
from app.text.tokens import encode, numbers_of
from tests.fakes import CARD, Held

VOCABULARY = ("mm", "nodule", "no")
SENTENCES, TOKENS = 4, 6


class ArithmeticTagger(Held):
    """`size` has the probability 0.9 where the token `mm` is, `denial` where `no` is; 0.1 elsewhere."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        numbers = numbers_of(VOCABULARY)
        there = [(hu[..., 0] == numbers[token]).any(axis=-1) for token in ("mm", "no")]
        return {OUTPUT: np.where(np.stack(there, axis=-1), np.float32(0.9), np.float32(0.1))}


def write_tagger(folder: Path) -> Path:
    """Write a bundle for ArithmeticTagger under `folder`; returns its path."""
    path = folder / NAME / "1"
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"arithmetic needs no graph")
    (path / VOCABULARY_FILE).write_text(vocabulary_text(VOCABULARY), "utf-8")
    (path / CARD_FILE).write_text(CARD, "utf-8")
    (path / MANIFEST_FILE).write_text(tagger_manifest(path).model_dump_json(indent=1), "utf-8")
    return path


def tagger_manifest(path: Path) -> TaggerManifest:
    """A manifest whose digests are those of the files in `path`."""
    ids = encode(("no nodule", "9 mm"), numbers_of(VOCABULARY), (SENTENCES, TOKENS))
    outputs = ArithmeticTagger().answer(ids[None])
    return TaggerManifest(
        schema_version=1,
        name=NAME,
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=TextContract(sentences=SENTENCES, tokens=TOKENS),
        outputs=("labels",),
        languages=("en",),
        labels=(
            TaggerLabel(name="size", meaning="a length", axis="T"),
            TaggerLabel(name="denial", meaning="something is not there", axis=None),
        ),
        threshold=0.5,
        training_data=(
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        performance=TaggerPerformance(
            command="none", protocol="none", reports=0, cases=0, figures={"f1": Interval(value=0.9, low=0.8, high=1)}
        ),
        golden=GoldenCase(
            description="two sentences",
            hu=EncodedArray.encode(ids[..., 0].astype(np.int16)),
            outputs={OUTPUT: EncodedArray.encode(outputs[OUTPUT][0])},
            tolerance=1e-3,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )
