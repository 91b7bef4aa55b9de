"""Every number that the report tagger's training depends on, read from TOML into frozen objects."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from training.fitting.config import Positive, Share

Whole = Annotated[int, Field(ge=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextInputConfig(_Frozen):
    """Sentences of a window of a report, and tokens of a sentence; a token that comes `min_count` times in training or
    more is in the vocabulary."""

    sentences: Whole
    tokens: Whole
    min_count: Whole

    @property
    def shape(self) -> tuple[int, int]:
        """(sentences, tokens)."""
        return self.sentences, self.tokens


class NetworkConfig(_Frozen):
    """Width of the embedding, and of each direction of the GRU over tokens and of that over sentences."""

    embedding: Whole
    over_tokens: Whole
    over_sentences: Whole
    dropout: Share


class LearningConfig(_Frozen):
    """AdamW with a cosine decay over all steps. `hide` is the share of tokens that training takes for unknown ones;
    `compiled` traces the step once and then runs it several times as fast."""

    epochs: Whole
    batch: Whole
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    ema_momentum: Annotated[float, Field(ge=0, lt=1)]
    hide: Share
    compiled: bool = True


class TaggerConfig(_Frozen):
    """The recipe. The tagger is the mean of `members` networks that differ in their seed.

    `threshold` of a probability, from which a label is said, is chosen by nobody: it is the one of the first
    measurement. `checkpoint_steps` between two checkpoints change no result.
    """

    seed: int
    members: Whole
    threshold: Share
    input: TextInputConfig
    network: NetworkConfig
    learning: LearningConfig
    checkpoint_steps: Whole = 50


def load_config(path: Path) -> TaggerConfig:
    """Read a TOML file; raises pydantic.ValidationError naming each field that does not fit, OSError without it."""
    return TaggerConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
