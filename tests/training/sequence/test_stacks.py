"""Stacks are read in HU and in spatial order, and what must not be learned from is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.inference.sequence import HU, INSIDE, STEP_MM
from tests.training.sequence.conftest import stack_row, write_stacks
from training.data.nodules import DatasetMalformed
from training.sequence.artefacts import TrainedSequences
from training.sequence.baselines import area_profile
from training.sequence.config import SequenceConfig
from training.sequence.held_out import calibrated, held_out, pooled, require_unseen
from training.sequence.samples import StackBatches, sample_of
from training.sequence.stacks import judged, read_stacks, require_apart, window_of


def test_the_shared_stacks_are_judged_by_the_panel(shared_data: Path) -> None:
    stacks = read_stacks(shared_data)
    require_apart(stacks)
    nodules = judged(stacks)
    assert len(stacks) == 727 - 12 - 6, "without those whose grey is of elsewhere, and those that nobody else rated"
    assert len({stack.lesion for stack in nodules}) == len(nodules)
    assert all(len(stack.ratings) >= 3 and stack.is_decided for stack in nodules)
    assert sum(len(stack.slices) for stack in stacks if stack.number in (64, 706, 719)) == 9 + 14 + 25, "no holes"
    middle = [float(np.median(each.hu[each.inside])) for stack in nodules for each in stack.slices if stack.suspicious]
    assert -200 < np.median(middle) < 100, "soft tissue, whatever the manufacturer"


def test_grey_becomes_hu_by_manufacturer(tmp_path: Path) -> None:
    rows = [stack_row(0), stack_row(2), stack_row(4), stack_row(6, window_low_hu="-1025")]
    low_and_step = [(-1400, 6.25), (-1024, 4.785), (-1024, 4.69), (-1025, 4.8)]
    for stack, (low, step) in zip(read_stacks(write_stacks(tmp_path, rows)), low_and_step, strict=True):
        grey = np.concatenate([(each.hu[each.inside] - low) / step for each in stack.slices])
        np.testing.assert_allclose(grey, grey.round(), atol=1e-2)
        assert (grey.round().min(), grey.round().max()) >= (200, 200)
    with pytest.raises(DatasetMalformed, match="manufacturer"):
        window_of({"manufacturer": "another", "window_low_hu": ""})


def test_the_order_is_spatial_and_holes_are_left_out(tmp_path: Path) -> None:
    rows = [stack_row(0), stack_row(1), stack_row(2, hu_r="0.5"), stack_row(3, malignancy_all="")]
    falling, rising = read_stacks(write_stacks(tmp_path, rows, {0: [True, False, True, True, True]}))
    assert (len(falling.slices), len(rising.slices)) == (4, 5)
    for stack in (falling, rising):
        assert (np.diff(stack.heights_mm) > 0).all()


@pytest.mark.parametrize("changed", [{"malignancy_all": "7"}, {"fold": "9"}, {"pixel_spacing_mm": "x"}])
def test_a_row_that_does_not_follow_the_format_is_refused(tmp_path: Path, changed: dict[str, str]) -> None:
    with pytest.raises(DatasetMalformed, match="stack 1"):
        read_stacks(write_stacks(tmp_path, [stack_row(0), stack_row(1, **changed)]))


def test_a_patient_in_two_folds_is_refused(tmp_path: Path) -> None:
    torn = read_stacks(write_stacks(tmp_path, [stack_row(0), stack_row(1, fold=3)]))
    with pytest.raises(DatasetMalformed, match="1 patients in more than one fold"):
        require_apart(torn)


def test_a_nodule_that_a_network_has_seen_does_not_judge_it(trained: TrainedSequences, stacks_folder: Path) -> None:
    stacks = read_stacks(stacks_folder)
    require_unseen(trained.run.seen["fold0"], [stack for stack in stacks if stack.fold == 0])
    with pytest.raises(DatasetMalformed, match="1 patients to be judged"):
        require_unseen(trained.run.seen["fold0"], stacks[2:4])
    leaky = trained.run.model_copy(update={"seen": dict.fromkeys(trained.run.seen, trained.run.seen["shipped"])})
    with pytest.raises(DatasetMalformed, match="patients to be judged"):
        held_out(TrainedSequences(trained.networks, leaky), stacks)


def test_one_stack_a_lesion_the_largest(tmp_path: Path) -> None:
    rows = [stack_row(0, lesion_id=5), stack_row(1, lesion_id=5), stack_row(2, malignancy_all="3;3;3")]
    rows.append(stack_row(3, malignancy_all="5;5"))
    (only,) = judged(read_stacks(write_stacks(tmp_path, rows)))
    assert only.number == 1


def test_batches_are_repeatable_and_augmented(stacks_folder: Path, recipe: SequenceConfig) -> None:
    samples = [sample_of(stack, recipe.input.contract) for stack in read_stacks(stacks_folder)]
    batches = StackBatches(samples, recipe, seed=3)
    assert batches.total == 2 * 4
    first, again = batches(5), batches(5)
    np.testing.assert_array_equal(first[0], again[0])
    stacks, targets, weights = first
    there = stacks[..., INSIDE].max(axis=(2, 3)) > 0
    assert not stacks[..., HU][stacks[..., INSIDE] == 0].any()
    assert (stacks[:, 0, ..., STEP_MM] == 0).all()
    assert (stacks[..., STEP_MM].max(axis=(2, 3))[:, 1:][there[:, 1:]] > 0).all(), "distances, from either end"
    assert weights["slices"].sum(axis=1) == pytest.approx(stacks.shape[1])
    assert not weights["slices"][~there].any()
    assert targets["slices"].shape == (8, stacks.shape[1], 1)


def test_pooling_sees_only_slices_that_are_there() -> None:
    alone = np.array([[1.0, 4.0, 2.0, 99.0], [3.0, 99.0, 99.0, 99.0]])
    areas = np.array([[10.0, 20.0, 10.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    found = pooled(alone, areas)
    assert found["middle_slice"].tolist() == [4, 3]
    assert found["maximum"].tolist() == [4, 3]
    assert found["mean"] == pytest.approx([7 / 3, 3])
    assert found["weighted_by_area"] == pytest.approx([110 / 40, 3])


def test_calibration_of_a_fold_does_not_see_its_labels() -> None:
    rng = np.random.default_rng(1)
    scores, fold = rng.normal(size=200), np.arange(200) % 5
    suspicious = rng.random(200) < 1 / (1 + np.exp(-2 * scores))
    before = calibrated(scores, fold, suspicious)
    turned = np.where(fold == 2, ~suspicious, suspicious)
    np.testing.assert_array_equal(calibrated(scores, fold, turned)[fold == 2], before[fold == 2])
    assert before == pytest.approx(1 / (1 + np.exp(-2 * scores)), abs=0.2)


def test_an_area_profile_is_the_same_from_either_end(stacks_folder: Path) -> None:
    stack = read_stacks(stacks_folder)[0]
    heights = stack.heights_mm
    turned = replace(
        stack,
        slices=tuple(replace(s, height_mm=float(-h)) for s, h in zip(stack.slices[::-1], heights[::-1], strict=True)),
    )
    np.testing.assert_allclose(area_profile(stack), area_profile(turned))
