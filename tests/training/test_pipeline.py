"""The whole loop at two steps on generated data: cross-validate, train, export, load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import maximum_filter

from app.errors import BundleError
from app.inference.bundle import OUTPUT_NAMES, load_bundle
from app.inference.conformal import soft_diameter_mm
from tests.training.conftest import CONFIGS, TinyRun
from training.data.nodules import Dataset
from training.evaluation.calibration import Platt, sigmoid
from training.evaluation.held_out import load, save
from training.evaluation.results import evaluate, read_evaluation
from training.fitting.architectures import FEATURES, build_network
from training.fitting.artefacts import read_artefacts
from training.fitting.config import Config, load_config
from training.fitting.samples import nodule_view
from training.fitting.train import predict, train
from training.fitting.whitening import fit_whitening
from training.reporting.bundles import run_graph
from training.reporting.export import evidence_scale
from training.reporting.phantom import lung_phantom

REPOSITORY = CONFIGS.parents[1]
MAX_PARAMETERS = 500_000


def patches(config: Config) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    spec = config.input.patch_spec
    return np.stack([lung_phantom(spec, diameter_mm=d) for d in (4.0, 9.0, 20.0)]).astype(np.float32)


def test_the_bundle_loads_and_states_what_was_measured(tiny_run: TinyRun) -> None:
    manifest = load_bundle(tiny_run.bundle).manifest
    assert manifest.name == "tiny-classifier"
    assert manifest.performance.figures == tiny_run.evaluation.figures
    assert manifest.operating_point.threshold == tiny_run.evaluation.calibration.threshold
    assert [t.name for t in manifest.traits][:2] == ["subtlety", "calcification"]
    assert {"saved_model.pb", "variables/variables.index"} <= set(manifest.digests)


def test_a_flipped_byte_is_found(tiny_run: TinyRun, tmp_path: Path) -> None:
    copy = tmp_path / "1"
    for file in tiny_run.bundle.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(tiny_run.bundle)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    weights = copy / "variables" / "variables.index"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BundleError, match=r"variables\.index"):
        load_bundle(copy)


def test_the_graph_gives_the_promised_outputs(tiny_run: TinyRun, config: Config) -> None:
    said = run_graph(tiny_run.bundle, patches(config))
    assert set(said) == set(OUTPUT_NAMES)
    size, features = config.input.size_px, config.network.features
    shapes = {name: value.shape for name, value in said.items()}
    assert shapes == {"malignancy": (3,), "nodule": (3,), "traits": (3, 7), "mask": (3, size, size),
                      "evidence": (3, size // 4, size // 4), "embedding": (3, 3 * features)}  # fmt: skip
    for name in ("malignancy", "nodule", "mask", "evidence"):
        assert said[name].min() >= 0
        assert said[name].max() <= 1
    assert said["traits"].min() >= 1
    assert (said["traits"].max(axis=0) <= [5, 6, 5, 5, 5, 5, 5]).all()


def test_the_golden_case_repeats(tiny_run: TinyRun) -> None:
    golden = load_bundle(tiny_run.bundle).manifest.golden
    said = run_graph(tiny_run.bundle, golden.hu.decode()[None])
    for name, recorded in golden.outputs.items():
        np.testing.assert_allclose(said[name][0], recorded.decode(), atol=golden.tolerance)


def test_calibration_is_in_the_graph(tiny_run: TinyRun, config: Config) -> None:
    artefacts, fitted = read_artefacts(tiny_run.folder), tiny_run.evaluation.calibration
    raw = predict(artefacts.network, patches(config))
    soft_mm = soft_diameter_mm(sigmoid(raw.mask), config.input.spacing_mm)
    expected = Platt(fitted.slope, fitted.per_log_mm, fitted.intercept).probability(raw.malignancy, soft_mm)
    said = run_graph(tiny_run.bundle, patches(config))
    np.testing.assert_allclose(said["malignancy"], expected, atol=1e-5)
    np.testing.assert_allclose(said["embedding"], raw.embedding, atol=1e-5)


def test_the_statistics_shipped_are_those_of_the_training_nodules(
    tiny_run: TinyRun, dataset: Dataset, config: Config
) -> None:
    artefacts = read_artefacts(tiny_run.folder)
    assert (artefacts.run.nodules, artefacts.run.patients, artefacts.run.candidates) == (16, 8, 8)
    views = np.stack([nodule_view(n, config.input.patch_spec).hu for n in dataset.nodules])
    wanted = fit_whitening(predict(artefacts.network, views).embedding, config.calibration.shrinkage)
    np.testing.assert_allclose(artefacts.whitening.mean, wanted.mean, rtol=1e-4)
    np.testing.assert_allclose(artefacts.whitening.matrix, wanted.matrix, rtol=1e-3, atol=1e-3)


def test_evidence_is_an_exact_class_activation_map(tiny_run: TinyRun, config: Config) -> None:
    run, fitted = read_artefacts(tiny_run.folder).run, tiny_run.evaluation.calibration
    said = run_graph(tiny_run.bundle, patches(config))
    local = evidence_scale(fitted, run) * np.log(said["evidence"] / (1 - said["evidence"]))
    np.testing.assert_allclose(sigmoid(local.mean(axis=(1, 2))), said["malignancy"], atol=1e-4)


def test_features_are_averaged_over_the_patch_the_outline_and_its_surroundings(config: Config) -> None:
    network = build_network(config)
    raw = predict(network, patches(config))
    out = network(patches(config)[..., None], training=False)
    features, cells = np.asarray(out[FEATURES]), config.input.size_px // 4
    maps = features[..., : config.network.features]
    inside = sigmoid(raw.mask).reshape(3, cells, 4, cells, 4).mean(axis=(2, 4))
    around = maximum_filter(inside, size=(1, 3, 3), mode="nearest") - inside
    averages = [np.einsum("nhwc,nhw->nc", maps, w) / (w.sum(axis=(1, 2))[:, None] + 1) for w in (inside, around)]
    expected = np.concatenate([maps.mean(axis=(1, 2)), *averages], axis=1)
    np.testing.assert_allclose(raw.embedding, expected, rtol=1e-4, atol=1e-5)


def test_hounsfield_units_are_clipped_in_the_graph(tiny_run: TinyRun, config: Config) -> None:
    hu = patches(config)
    low, high = config.input.clip_hu
    beyond = np.where(hu < -800, -3000, hu).astype(np.float32)
    clipped = np.clip(beyond, low, high)
    one, two = run_graph(tiny_run.bundle, beyond), run_graph(tiny_run.bundle, clipped)
    np.testing.assert_allclose(one["malignancy"], two["malignancy"], atol=1e-6)


def test_the_card_holds_every_figure_and_the_warning(tiny_run: TinyRun) -> None:
    card = load_bundle(tiny_run.bundle).card
    assert "not pathology" in card
    assert "Diameter alone reaches an AUC of" in card
    for name, figure in tiny_run.evaluation.figures.items():
        assert f"| {name} | {figure.value:.3f} |" in card


def test_held_out_predictions_give_the_same_figures_again(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    save(tmp_path / "held_out.npz", tiny_run.held_out, tiny_run.candidates)
    again = evaluate(*load(tmp_path / "held_out.npz"), dataset, config, tiny_run.evaluation.command)
    assert again == tiny_run.evaluation
    assert read_evaluation(tiny_run.folder) == tiny_run.evaluation


def test_every_nodule_is_judged_once(tiny_run: TinyRun, dataset: Dataset) -> None:
    assert sorted(tiny_run.held_out.true_diameter_mm) == sorted(n.diameter_mm for n in dataset.nodules)
    assert len(tiny_run.candidates.fold) == len(dataset.candidates)


def test_the_same_seed_gives_the_same_losses(dataset: Dataset, config: Config) -> None:
    one, two = train(dataset, config), train(dataset, config)
    assert [step["loss"] for step in one.history] == pytest.approx([step["loss"] for step in two.history], rel=1e-4)
    assert len(one.history) == config.optimiser.steps


def test_the_shipped_network_is_compact() -> None:
    assert build_network(load_config(CONFIGS / "default.toml")).count_params() <= MAX_PARAMETERS


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    text = (CONFIGS / "default.toml").read_text("utf-8").replace("[network]", "[network]\nmagic = 1")
    (tmp_path / "bad.toml").write_text(text, "utf-8")
    with pytest.raises(ValidationError, match="magic"):
        load_config(tmp_path / "bad.toml")


def test_the_scripts_are_thin_and_say_what_they_do() -> None:
    for name in ("train", "evaluate", "export"):
        script = REPOSITORY / "scripts" / f"{name}.py"
        assert len(script.read_text("utf-8").splitlines()) <= 40
        compile(script.read_text("utf-8"), script.name, "exec")
