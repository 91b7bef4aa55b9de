"""The candidate filter's training on generated data: two steps, its samples, and the bundle that comes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from app.errors import BundleError
from app.imaging.ct import Orientation, SliceSource
from app.imaging.patches import PatchSpec
from app.imaging.volume import CTVolume
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import Interval
from app.inference.detector import Detector, ScoreThreshold, SecondReader
from tests.training.conftest import CONFIGS
from training.data.nodules import Dataset, DatasetMalformed, Nodule
from training.data.scans import Scan
from training.detector.artefacts import FilterRun
from training.detector.config import DetectorConfig, load_detector_config
from training.detector.export import export_detector
from training.detector.fit import (
    TrainingSet,
    build_filter,
    compile_filter,
    logits,
    train_base,
    train_filter,
    training_set,
)
from training.detector.identity import weights_digest
from training.detector.report import Band, Comparison, DetectorResults
from training.detector.samples import (
    DetectorBatches,
    Negatives,
    PatchBlob,
    drawing_weight,
    patch_blob_view,
    patch_blobs,
    rescanned,
    scan_blobs,
)
from training.reporting.phantom import lung_phantom

MAX_PARAMETERS = 100_000
FIGURE = Interval(value=0.9, low=0.8, high=0.95)


def volume() -> CTVolume:
    rng = np.random.default_rng(5)
    hu = rng.normal(-850, 30, (12, 64, 64)).astype(np.int16)
    return CTVolume(hu, (2.5, 0.7, 0.7), Orientation((1, 0, 0), (0, 1, 0)),
                    tuple((0.0, 0.0, 2.5 * k) for k in range(12)), (SliceSource("array", 64, 64),) * 12)  # fmt: skip


def with_blob(nodule: Nodule, offset_px: int) -> Nodule:
    y, x = np.mgrid[:71, :71] - 35
    blob = np.hypot(x - offset_px, y) * nodule.spacing_mm < 3
    return replace(nodule, hu=np.where(blob, 40, nodule.hu).astype(np.int16))


def test_held_out_folds_and_their_patients_are_not_seen(dataset: Dataset, recipe: DetectorConfig) -> None:
    seen = training_set(dataset, {}, recipe.filters["a"], recipe).dataset
    assert {n.fold for n in seen.nodules} == {c.fold for c in seen.candidates} == {0}
    assert recipe.base.held_out_folds == (1,)
    assert recipe.base.hard_negatives == ()


def test_a_filter_goes_on_from_the_base_and_leaves_it_alone(dataset: Dataset, recipe: DetectorConfig) -> None:
    seen = training_set(dataset, {}, recipe.filters["shipped"], recipe)
    points = ((30.0, 30.0, 5.0), (40.0, 20.0, 6.0))
    scanned = TrainingSet(seen.dataset, seen.patch_blobs, {"phantom": scan_blobs(volume(), points)})
    base = train_base(seen, recipe)
    before = weights_digest(base)
    one, two = (train_filter(base, scanned, recipe) for _ in range(2))
    assert weights_digest(base) == before != weights_digest(one)
    for first, second in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_the_rate_warms_up_for_a_twentieth_of_the_steps(recipe: DetectorConfig) -> None:
    network, peak = build_filter(recipe), 0.01
    compile_filter(network, recipe, 40, peak)
    found = []
    for step in (0, 1, 2, 21, 40):
        network.optimizer.iterations.assign(step)
        found.append(float(np.asarray(network.optimizer.learning_rate)))
    assert found == pytest.approx([peak / 20, peak * 21 / 40, peak, peak / 2, 0], abs=1e-6)


def test_batches_hold_both_classes_and_repeat(dataset: Dataset, recipe: DetectorConfig) -> None:
    blobs = scan_blobs(volume(), [(30.0, 30.0, 5.0)])
    source = DetectorBatches(dataset, Negatives(()), Negatives(blobs), recipe)
    (hu, target), (again, _), (other, _) = source(3), source(3), source(4)
    assert hu.shape == (recipe.sources.size, 32, 32, 1)
    assert target.sum() == recipe.sources.lidc_nodules + recipe.sources.luna_nodules
    np.testing.assert_array_equal(hu, again)
    assert not np.array_equal(hu, other)


def lies_on(blob: PatchBlob, point_px: tuple[int, int]) -> bool:
    return math.hypot(blob.centre_px[0] - point_px[0], blob.centre_px[1] - point_px[1]) < 2


def test_blobs_keep_clear_of_the_nodule(dataset: Dataset, recipe: DetectorConfig) -> None:
    near, far = with_blob(dataset.nodules[0], 10), with_blob(dataset.nodules[0], 18)
    spec, clearance_mm = recipe.input.patch_spec, 6.0
    assert not any(lies_on(b, (45, 35)) for b in patch_blobs(near, clearance_mm, spec))
    assert any(lies_on(b, (53, 35)) for b in patch_blobs(far, clearance_mm, spec))


def test_a_blob_is_shown_in_the_middle() -> None:
    hu = np.full((71, 71), -850, np.int16)
    hu[20, 50] = 1000
    view = patch_blob_view(PatchBlob(hu, 0.7, (50.0, 20.0)), PatchSpec(33, 0.7))
    assert int(view.argmax()) == 16 * 33 + 16


def test_the_hardest_are_drawn_as_often_as_asked() -> None:
    blobs = [PatchBlob(np.zeros((71, 71), np.int16), 0.7, (float(k), 0.0)) for k in range(10)]
    negatives, rng = Negatives(blobs, blobs[:1]), np.random.default_rng(1)
    assert all(negatives.draw(1.0, rng) is blobs[0] for _ in range(20))
    share = np.mean([negatives.draw(0.5, rng) is blobs[0] for _ in range(2000)])
    assert share == pytest.approx(0.55, abs=0.04)


def test_few_readers_and_small_size_make_a_nodule_rarer(dataset: Dataset, recipe: DetectorConfig) -> None:
    large = replace(dataset.nodules[0], malignancy=(3, 3, 3, 3), diameter_mm=12.0)
    weights = [drawing_weight(n, recipe.positives) for n in (
        large, replace(large, malignancy=(3,)), replace(large, diameter_mm=4.0))]  # fmt: skip
    assert weights[0] == 1.0
    assert weights[1] == recipe.positives.by_readers[0] < 1
    assert weights[2] == recipe.positives.small < 1


def test_a_thick_slice_blurs_one_axis_only(recipe: DetectorConfig) -> None:
    hu = np.random.default_rng(6).normal(0, 100, (32, 32)).astype(np.float32)
    scanner = recipe.scanner.model_copy(update={"slab": 1.0, "slab_mm": (3.0, 3.0), "sharpen": 0.0})
    seen = rescanned(hu, 0.78, scanner, np.random.default_rng(1))
    steps = sorted(float(np.abs(np.diff(seen, axis=axis)).mean()) for axis in (0, 1))
    assert steps[0] < steps[1] / 2
    assert seen.mean() == pytest.approx(hu.mean(), abs=5)


def test_what_is_marked_is_no_negative() -> None:
    scan = Scan("phantom", volume(), np.array([[14.0, 14.0, 12.5, 3.0]]))
    assert scan.clearance_mm((20.0, 20.0, 5.0)) == pytest.approx(-3.0)
    assert scan.clearance_mm((20.0, 20.0, 9.0)) == pytest.approx(7.0)
    assert Scan("unmarked", volume(), np.zeros((0, 4))).clearance_mm((0.0, 0.0, 0.0)) == np.inf


def test_the_shipped_filter_is_small() -> None:
    assert build_filter(load_detector_config(CONFIGS / "detector.toml")).count_params() <= MAX_PARAMETERS


def test_a_filter_of_an_unknown_scan_is_named() -> None:
    config = load_detector_config(CONFIGS / "detector.toml").model_dump()
    config["filters"]["shipped"]["hard_negatives"] = ["elsewhere"]
    with pytest.raises(ValidationError, match="elsewhere"):
        DetectorConfig.model_validate(config)


SECOND = SecondReader(model="nodule-classifier", from_score=0.5, chosen_for="tests", weight=1.0)


def results(digest: str) -> DetectorResults:
    figures = dict.fromkeys(("0.125", "0.25", "0.5", "1", "1.5", "2", "4", "8"), FIGURE)
    band = Band(name="solid", plantings=4, patients=2, with_candidate=1.0, sensitivity=figures, native_nodules=4,
                native=figures)  # fmt: skip
    thresholds = [ScoreThreshold(score=s, per=p, chosen_for="tests", sensitivity=FIGURE, false_positives=FIGURE)
                  for s, p in ((1.25, "slice"), (3.5, "series"))]  # fmt: skip
    alone = Comparison(judge="filter", note="alone", sensitivity=figures)
    return DetectorResults(command="make planted", protocol="tests", networks={"shipped": digest},
                           classifiers={"phantom": "sha256:0"}, plantings=4, patients=2, backgrounds=(),
                           bands=(band,), slice_threshold=thresholds[0], second_reader=SECOND,
                           series_threshold=thresholds[1], scans=(), comparisons=(alone,),
                           shipped_on_seen_scans={})  # fmt: skip


def record(recipe: DetectorConfig) -> FilterRun:
    return FilterRun(name="shipped", config=recipe, nodules=4, patients=2, luna_candidates=0, patch_blobs=0,
                     scan_blobs={"phantom": 9}, data={"lidc-nodules": "sha256:0"})  # fmt: skip


def test_the_bundle_serves_what_was_trained(recipe: DetectorConfig, tmp_path: Path) -> None:
    network = build_filter(recipe)
    folder = tmp_path / "nodule-detector" / "1"
    export_detector(network, record(recipe), results(weights_digest(network)), folder)
    detector = Detector.load(folder, TensorFlowBackend(1))
    hu = lung_phantom(recipe.input.patch_spec, diameter_mm=6.0).astype(np.float32)
    said = detector.backend.run(hu[None, ..., None])["nodule"]
    np.testing.assert_allclose(said, logits(network, hu[None]), atol=1e-4)
    assert (detector.slice_threshold, detector.series_threshold) == (1.25, 3.5)
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    assert "phantom: **those scans do not test them**" in card
    assert detector.manifest.second_reader == SECOND
    assert "candidates of score 0.500 and more" in card
    assert "| filter | alone | 0.90 (0.80 to 0.95)" in card
    assert "| solid | 4 | 2 | 1.00 | 0.90 (0.80 to 0.95)" in card
    weights = next((folder / "variables").glob("*.data*"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleError, match="variables"):
        Detector.load(folder, TensorFlowBackend(1))


def test_figures_of_other_weights_are_not_written(recipe: DetectorConfig, tmp_path: Path) -> None:
    with pytest.raises(DatasetMalformed, match="figures of weights sha256:other"):
        export_detector(
            build_filter(recipe), record(recipe), results("sha256:other"), tmp_path / "nodule-detector" / "1"
        )
    assert not (tmp_path / "nodule-detector").exists()
