"""Reports are read as they were split, and what leaks is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.text.tagger import NAME, VOCABULARY_FILE, read_vocabulary
from app.text.tokens import PADDING, UNKNOWN
from tests.conftest import REPOSITORY
from tests.training.conftest import CONFIGS
from tests.training.text.conftest import all_reports, report, write_reports
from training.data.nodules import DatasetMalformed
from training.text.config import TaggerConfig, load_config
from training.text.reports import LABELS, LANGUAGES, of_split, read_reports
from training.text.samples import TaggerBatches, vocabulary_of, windows_of
from training.text.study import f1_of, require_unseen


def test_the_shared_reports_keep_their_official_split(shared_data: Path) -> None:
    reports = read_reports(shared_data)
    train, val = of_split(reports, "train"), of_split(reports, "val")
    assert (len(train), len(val)) == (216, 108)
    assert not {r.id for r in train} & {r.id for r in val}
    for language in LANGUAGES:
        cases = [r.case_guess for r in val if r.language == language]
        assert sorted(cases.count(case) for case in set(cases)) == [9] * 6


def test_no_case_of_val_was_seen_by_the_shipped_weights(shared_data: Path) -> None:
    """The vocabulary is all that the weights show of what they saw: it is that of train to the letter."""
    min_count = load_config(CONFIGS / "report_tagger.toml").input.min_count
    train = of_split(read_reports(shared_data), "train")
    shipped = read_vocabulary(REPOSITORY / "models" / NAME / "1" / VOCABULARY_FILE)
    assert tuple(shipped) == vocabulary_of(train, min_count)


@pytest.mark.parametrize("other", [{"split": "val", "case_guess": "case-0"}, {"split": "val", "id": "77"}])
def test_a_report_in_both_splits_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    leaking = [*all_reports(), {**report(0, "en", "train"), **other}]
    with pytest.raises(DatasetMalformed, match="both splits"):
        read_reports(write_reports(tmp_path, leaking))


def test_figures_of_seen_reports_are_refused(reports_folder: Path) -> None:
    val = of_split(read_reports(reports_folder), "val")
    require_unseen(["0", "1"], val)
    with pytest.raises(DatasetMalformed, match="1 reports of val"):
        require_unseen(["0", val[0].id], val)


@pytest.mark.parametrize("wrong", [{"labels": [["measure"]]}, {"labels": [["size"]] * 5}, {"split": "test"}])
def test_a_line_that_is_no_report_is_refused_by_its_number(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(DatasetMalformed, match="line 2"):
        read_reports(write_reports(tmp_path, [report(0, "en", "train"), {**report(1, "en", "train"), **wrong}]))


def test_windows_hold_each_sentence_with_its_labels(reports_folder: Path, recipe: TaggerConfig) -> None:
    reports = of_split(read_reports(reports_folder), "train")
    vocabulary = vocabulary_of(reports, recipe.input.min_count)
    short = recipe.input.model_copy(update={"sentences": 3})
    windows = windows_of(reports, vocabulary, short)
    assert windows.ids.shape == (2 * len(reports), 3, recipe.input.tokens, 1)
    assert windows.weights.sum() == sum(len(each.sentences) for each in reports)
    first = [LABELS[k] for k in windows.targets[0].argmax(axis=-1)]
    assert first == [labels[0] for labels in reports[0].labels[:3]]
    assert not windows.targets[windows.weights == 0].any()


def test_a_batch_is_the_same_whenever_it_is_asked_for(reports_folder: Path, recipe: TaggerConfig) -> None:
    reports = of_split(read_reports(reports_folder), "train")
    windows = windows_of(reports, vocabulary_of(reports, 1), recipe.input)
    batches = TaggerBatches(windows, recipe, seed=3)
    assert batches.total == 6
    for one, again in zip(batches(4), batches(4), strict=True):
        np.testing.assert_array_equal(one, again)
    ids, targets, weights = batches(1)
    assert ids.shape[:2] == targets.shape[:2] == weights.shape
    assert (ids == UNKNOWN).any()
    assert (ids[weights == 0] == PADDING).all()


def test_f1_is_undefined_where_there_is_nothing_to_find() -> None:
    truth = np.array([[1, 0, 0], [1, 1, 0]], np.bool_)
    called = np.array([[1, 1, 0], [0, 1, 0]], np.bool_)
    np.testing.assert_allclose(f1_of(truth, called), [2 / 3, 2 / 3, np.nan])
