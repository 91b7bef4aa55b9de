"""The network: an embedding, a bidirectional GRU over the tokens of each sentence, and one over the sentences."""

from __future__ import annotations

from typing import Any, Final  # keras is untyped

import keras
import numpy as np
from keras import layers, ops

from app.text.tokens import FIRST, PADDING
from training.text.config import NetworkConfig, TaggerConfig
from training.text.reports import LABELS

LOWEST: Final = -2.0  # below every output of a GRU, which lies between -1 and 1


class ReportNetwork(keras.Model):  # type: ignore[misc]  # keras is untyped
    """From `ids` (N, sentences, tokens, 1), of any number of either, to logits (N, sentences, labels)."""

    def __init__(self, vocabulary_size: int, sizes: NetworkConfig, seed: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(FIRST + vocabulary_size, sizes.embedding)
        self.over_tokens = _both_ways(sizes.over_tokens)
        self.over_sentences = _both_ways(sizes.over_sentences)
        self.dropped = [layers.Dropout(sizes.dropout, seed=seed + k) for k in range(3)]
        self.labels = layers.Dense(len(LABELS))

    def call(self, ids: Any, training: bool = False) -> Any:
        """Padding changes nothing: neither state nor maximum sees it."""
        _, sentences, tokens, _ = ops.shape(ids)
        flat = ops.cast(ops.reshape(ids, (-1, tokens)), "int32")
        there = ops.not_equal(flat, PADDING)
        words = self.dropped[0](self.embedding(flat), training=training)
        heard = self.over_tokens(words, mask=there)
        strongest = ops.max(ops.where(ops.expand_dims(there, -1), heard, LOWEST), axis=1)
        alone = ops.reshape(strongest, (-1, sentences, strongest.shape[-1]))
        alone = self.dropped[1](alone, training=training)
        some_token = ops.any(ops.reshape(there, (-1, sentences, tokens)), axis=-1)
        in_context = self.over_sentences(alone, mask=some_token)
        joined = self.dropped[2](ops.concatenate([alone, in_context], axis=-1), training=training)
        return self.labels(joined)


def build_tagger(vocabulary_size: int, config: TaggerConfig, seed: int) -> ReportNetwork:
    """A network with new weights, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    network = ReportNetwork(vocabulary_size, config.network, seed)
    network(np.ones((1, 1, 1, 1), np.float32))
    return network


def _both_ways(units: int) -> Any:
    # Not cuDNN's kernel on a GPU: it takes no mask with gaps, and what is exported runs on a CPU.
    return layers.Bidirectional(layers.GRU(units, return_sequences=True, use_cudnn=False))
