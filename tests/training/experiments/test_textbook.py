"""The textbook comparison with a judge whose answers are arithmetic; the network itself is only built."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.nodules import DatasetMissing
from training.evaluation.metrics import Flags, Floats
from training.experiments.textbook import (
    SIZE_PX,
    THORAX_ROWS,
    Images,
    Settings,
    Slices,
    TextbookResult,
    blanked,
    build_textbook_network,
    compare,
    read_slices,
    splits,
)

RESULT = Path(__file__).resolve().parents[3] / "docs" / "results" / "textbook.json"
SETTINGS = Settings(folds=5, folds_run=5)
GROUPS, EACH, SMALL_PX = 20, 4, 50


def slices() -> Slices:
    """Groups of equal images: their thorax tells one group from another and nothing else; labels by group."""
    group = np.repeat(np.arange(GROUPS), EACH)
    images = np.zeros((GROUPS * EACH, SMALL_PX, SMALL_PX), np.uint8)
    images[:, SMALL_PX // 2] = group[:, None] * 7 + 1
    rng = np.random.default_rng(0)
    return Slices(images, rng.permutation(np.arange(GROUPS) % 2 == 1)[group], group.astype(str))


def nearest(images: Images, cancer: Flags, others: Images, _settings: Settings) -> Floats:
    """The label of the nearest training image, and 0.5 where two labels are as near."""
    flat, asked = images.reshape(len(images), -1).astype(int), others.reshape(len(others), -1).astype(int)
    apart = np.abs(asked[:, None] - flat).sum(axis=2)
    near = apart == apart.min(axis=1, keepdims=True)
    return np.asarray((near * cancer).sum(axis=1) / near.sum(axis=1), np.float64)


def test_a_random_split_leaks_and_a_grouped_one_does_not() -> None:
    found = compare(slices(), SETTINGS, "pytest", nearest)
    random, grouped, control = found.conditions
    assert random.figures["auc"].value == 1.0
    assert random.groups_on_both_sides > 0
    assert grouped.groups_on_both_sides == control.groups_on_both_sides == 0
    assert grouped.figures["auc"].value < 0.9
    # Blanked, all images are alike: every answer is the training share.
    assert control.thorax_blanked
    assert control.figures["balanced_accuracy"].value == pytest.approx(0.5, abs=0.2)
    assert {c.judged for c in found.conditions} == {GROUPS * EACH}


def test_only_the_asked_number_of_folds_is_run() -> None:
    few = SETTINGS.model_copy(update={"folds_run": 2})
    assert len(list(splits(slices(), "grouped", few))) == 2
    assert compare(slices(), few, "pytest", nearest).statement.startswith("2 of 5 folds")


def test_blanking_takes_the_thorax_and_nothing_else() -> None:
    images = np.full((1, 100, 4), 9, np.uint8)
    out = blanked(images)[0, :, 0]
    first, last = (round(share * 100) for share in THORAX_ROWS)
    assert (out[first:last] == 0).all()
    assert (np.delete(out, np.s_[first:last]) == 9).all()
    assert images.min() == 9


def test_the_network_is_the_textbooks() -> None:
    network = build_textbook_network(Settings())
    assert network.input_shape == (None, SIZE_PX, SIZE_PX, 3)
    # 3*3*3*32+32, 3*3*32*64+64, 3*3*64*128+128, 26*26*128*512+512, 512+1
    assert network.count_params() == 896 + 18_496 + 73_856 + 44_302_848 + 513


def test_slices_with_a_reason_to_drop_them_are_dropped(tmp_path: Path) -> None:
    with (tmp_path / "slices.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "class", "cancer", "group", "drop_reason"])
        writer.writerows([["a.png", "malignant", "1", "g1", ""], ["b.png", "normal", "0", "g2", "exact_dup"]])
    cv2.imwrite(str(tmp_path / "a.png"), np.full((30, 30), 77, np.uint8))
    found = read_slices(tmp_path)
    assert found.images.shape == (1, SIZE_PX, SIZE_PX)
    assert (found.cancer.tolist(), found.group.tolist()) == ([True], ["g1"])
    (tmp_path / "a.png").unlink()
    with pytest.raises(DatasetMissing, match=r"a\.png unreadable"):
        read_slices(tmp_path)
    with pytest.raises(DatasetMissing, match=r"no slices\.csv"):
        read_slices(tmp_path / "elsewhere")


def test_the_published_result_is_of_this_code() -> None:
    found = TextbookResult.model_validate(json.loads(RESULT.read_text("utf-8")))
    assert found.parameters == 44_396_609
    assert [(c.split, c.thorax_blanked) for c in found.conditions] == [
        ("random", False),
        ("grouped", False),
        ("grouped", True),
    ]
    assert found.conditions[1].groups_on_both_sides == 0
