"""The report tagger: a bundle whose network says of each sentence what it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.errors import BundleError
from app.inference.backends import Backend
from app.inference.bundle import (
    GoldenCase,
    Interval,
    TrainingData,
    VerifiedManifest,
    read_verified,
)
from app.inference.conformal import Fraction
from app.inference.golden import check_golden
from app.text.statements import Label, Language
from app.text.tokens import encode, numbers_of

NAME: Final = "report-tagger"
OUTPUT: Final = "labels"
VOCABULARY_FILE: Final = "vocabulary.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TextContract(_Frozen):
    """What the graph takes: float32 (N, sentences, tokens, 1) of token numbers (`app.text.tokens`)."""

    name: Literal["ids"] = "ids"
    sentences: Annotated[int, Field(ge=1, le=256)]
    tokens: Annotated[int, Field(ge=1, le=1024)]


class TaggerLabel(_Frozen):
    """A label, its meaning, and the TNM descriptor that sentences with it bear on."""

    name: str
    meaning: str
    axis: Literal["T", "N", "M"] | None


class TaggerPerformance(_Frozen):
    """Measured figures, the command that measured them, and how."""

    command: str
    protocol: str
    reports: int
    cases: int
    figures: Mapping[str, Interval]


class TaggerManifest(VerifiedManifest):
    """`manifest.json` of a report tagger."""

    input: TextContract
    outputs: tuple[Literal["labels"]]
    languages: tuple[Language, ...]
    labels: tuple[TaggerLabel, ...]
    threshold: Annotated[Fraction, Field(description="probability from which a label is said")]
    training_data: tuple[TrainingData, ...]
    performance: TaggerPerformance
    golden: GoldenCase

    @model_validator(mode="after")
    def _complete(self) -> Self:
        shape = self.input.sentences, self.input.tokens
        if self.golden.hu.shape != shape:
            raise ValueError(f"the golden input is {self.golden.hu.shape}, the tagger's input {shape}")
        if set(self.golden.outputs) != {OUTPUT}:
            raise ValueError(f"the golden case must hold {OUTPUT} and nothing else")
        if VOCABULARY_FILE not in self.digests:
            raise ValueError(f"{VOCABULARY_FILE} has no digest")
        return self


@dataclass(frozen=True, slots=True)
class Tagger:
    """A verified tagger and its backend, which runs once `load` is done."""

    path: Path
    manifest: TaggerManifest
    digest: str
    backend: Backend
    numbers: Mapping[str, int]

    @classmethod
    def verify(cls, path: Path, backend: Backend) -> Tagger:
        """The tagger in `path`, not loaded; raises BundleError when a file or the contract does not match."""
        manifest, digest = read_verified(path, TaggerManifest)
        return cls(path, manifest, digest, backend, numbers_of(read_vocabulary(path / VOCABULARY_FILE)))

    def load(self) -> None:
        """Load the network and run its golden case. Blocking; raises BundleError when it differs."""
        self.backend.load(self.path)
        golden = self.manifest.golden
        outputs = self.backend.run(golden.hu.decode()[None, ..., None])
        check_golden(golden, outputs, self.backend.name, self.path)

    def labels(self, sentences: Sequence[str]) -> list[tuple[Label, ...]]:
        """Of each sentence of one report the labels of `threshold` and more, the most probable first.

        The network sees as many sentences at once as its input takes; those of a longer report in groups.
        """
        size, shape = self.manifest.input.sentences, (self.manifest.input.sentences, self.manifest.input.tokens)
        if not sentences:
            return []
        parts = [sentences[first : first + size] for first in range(0, len(sentences), size)]
        ids = np.stack([encode(part, self.numbers, shape) for part in parts])
        said = self.backend.run(ids)[OUTPUT].reshape(-1, len(self.manifest.labels))
        return [self._said(row) for row in said[: len(sentences)].tolist()]

    def _said(self, probabilities: Sequence[float]) -> tuple[Label, ...]:
        named = [Label(label.name, p) for label, p in zip(self.manifest.labels, probabilities, strict=True)]
        kept = [label for label in named if label.probability >= self.manifest.threshold]
        return tuple(sorted(kept, key=lambda label: -label.probability))


def read_vocabulary(path: Path) -> list[str]:
    """The tokens in a file VOCABULARY_FILE; raises BundleError."""
    try:
        return TypeAdapter(list[str]).validate_json(path.read_bytes(), strict=True)
    except (OSError, ValidationError):
        raise BundleError(
            found=f"{path}: no list of tokens",
            expected="a JSON list of the vocabulary's tokens",
            remedy="Restore the bundle from its release; nothing was loaded.",
        ) from None


def vocabulary_text(vocabulary: Sequence[str]) -> str:
    """The content of VOCABULARY_FILE."""
    return json.dumps(list(vocabulary), ensure_ascii=False, indent=0) + "\n"
