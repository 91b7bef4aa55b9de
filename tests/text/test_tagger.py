"""The tagger's bundle and what it says, on arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import BundleError
from app.text.reader import ReportReader
from app.text.tagger import VOCABULARY_FILE, Tagger
from app.text.tokens import NUMBER, PADDING, UNKNOWN, encode, numbers_of, tokens_of
from tests.text.arithmetic import SENTENCES, TOKENS, VOCABULARY, ArithmeticTagger, write_tagger


@pytest.fixture
def tagger(tmp_path: Path) -> Tagger:
    found = Tagger.verify(write_tagger(tmp_path), ArithmeticTagger())
    found.load()
    return found


def test_tokens_are_words_numbers_and_characters() -> None:
    assert tokens_of("A 7.5 mm Nodule (S8).") == ["a", NUMBER, "mm", "nodule", "(", "s", NUMBER, ")", "."]
    assert tokens_of("長径５㎝") == ["長", "径", NUMBER, "cm"]


def test_numbers_of_tokens_fill_their_rows() -> None:
    ids = encode(["no mm", "unheard words of more than six tokens here"], numbers_of(VOCABULARY), (3, 6))
    assert ids.shape == (3, 6, 1)
    assert ids.dtype == np.float32
    assert ids[0, :, 0].tolist() == [4, 2, PADDING, PADDING, PADDING, PADDING]
    assert ids[1, :, 0].tolist() == [UNKNOWN] * 6
    assert not ids[2].any()


def test_each_sentence_has_its_own_labels_in_a_report_of_any_length(tagger: Tagger) -> None:
    sentences = ["9 mm", "no nodule", "no 9 mm", "a nodule"] * SENTENCES + ["9 mm"]
    said = [{label.name for label in labels} for labels in tagger.labels(sentences)]
    assert said == [{"size"}, {"denial"}, {"size", "denial"}, set()] * SENTENCES + [{"size"}]
    assert tagger.labels([]) == []


def test_the_network_hears_groups_of_sentences(tagger: Tagger) -> None:
    assert isinstance(tagger.backend, ArithmeticTagger)
    before = len(tagger.backend.batches)
    tagger.labels(["9 mm"] * (SENTENCES + 1))
    assert tagger.backend.batches[before:] == [2]


def test_a_changed_vocabulary_is_refused(tmp_path: Path) -> None:
    path = write_tagger(tmp_path)
    (path / VOCABULARY_FILE).write_text(json.dumps(["no", "nodule", "mm"]), "utf-8")
    with pytest.raises(BundleError, match=VOCABULARY_FILE):
        Tagger.verify(path, ArithmeticTagger())


def test_another_networks_answers_are_refused(tmp_path: Path) -> None:
    class Other(ArithmeticTagger):
        def answer(self, hu: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> dict[str, np.ndarray]:
            return {name: 1 - values for name, values in super().answer(hu).items()}

    found = Tagger.verify(write_tagger(tmp_path), Other())
    with pytest.raises(BundleError, match="golden case"):
        found.load()


def test_a_report_is_read_with_whatever_there_is(tmp_path: Path) -> None:
    reader = ReportReader(Tagger.verify(write_tagger(tmp_path), ArithmeticTagger()))
    assert reader.read("A 9 mm nodule.").tagger_state == "loading"
    reader.load()
    reading = reader.read("A 9 mm nodule. No effusion.")
    assert reading.tagger is reader.tagger
    assert [[label.name for label in each.labels or ()] for each in reading.sentences] == [["size"], ["denial"]]
    assert reader.read("右肺に結節。").tagger_state == "language_not_carried"
    assert reader.read("右肺に結節。").sentences[0].labels is None
    assert ReportReader().read("A 9 mm nodule.").tagger_state == "absent"


def test_a_tagger_that_cannot_load_leaves_the_rules(tmp_path: Path) -> None:
    class Broken(ArithmeticTagger):
        def load(self, path: Path) -> None:
            raise RuntimeError(path.name)

    reader = ReportReader(Tagger.verify(write_tagger(tmp_path), Broken()))
    with pytest.raises(RuntimeError):
        reader.load()
    reading = reader.read("A 9 mm nodule.")
    assert (reading.tagger_state, len(reading.mentions)) == ("failed", 1)


def test_rows_beyond_the_last_sentence_say_nothing(tagger: Tagger) -> None:
    assert len(tagger.labels(["9 mm"])) == 1
    assert tagger.manifest.input.tokens == TOKENS
