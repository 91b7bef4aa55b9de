"""The baseline of the report tagger: n-grams of a sentence and logistic regression, a model for each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from training.evaluation.metrics import Flags
from training.text.reports import LABELS, Language, Report

INVERSE_STRENGTH: Final = 10.0  # C of the first measurement of these data
MAX_ITERATIONS: Final = 2000
# Of several kinds, of words too, the strongest on `val`: a choice in the baseline's favour.
NGRAMS: Final[dict[Language, dict[str, object]]] = {
    "en": {"analyzer": "char", "ngram_range": (2, 5)},
    "ja": {"analyzer": "char", "ngram_range": (1, 3)},
}


def baseline_calls(train: Sequence[Report], test: Sequence[Report], language: Language) -> Flags:
    """Flags (sentences of `test`, labels) of a baseline that learned from `train`."""
    sentences = [sentence for report in train for sentence in report.sentences]
    given = [labels for report in train for labels in report.labels]
    vectoriser = TfidfVectorizer(sublinear_tf=True, **NGRAMS[language])
    known = vectoriser.fit_transform(sentences)
    asked = vectoriser.transform([sentence for report in test for sentence in report.sentences])
    called = []
    for label in LABELS:
        there = [label in labels for labels in given]
        if len(set(there)) == 1:  # nothing to tell apart: always or never
            called.append(np.full(asked.shape[0], there[0]))
            continue
        model = LogisticRegression(C=INVERSE_STRENGTH, class_weight="balanced", max_iter=MAX_ITERATIONS)
        called.append(model.fit(known, there).predict(asked))
    return np.array(called, np.bool_).T
