"""A tagger from reports to a bundle: it goes on where it stopped, is measured, exported, and read by both runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from app.text.reader import ReportReader
from app.text.tagger import OUTPUT, Tagger
from training.data.nodules import DatasetMalformed
from training.fitting.checkpoints import OtherRun
from training.text.artefacts import TrainedTagger, read_tagger, train_tagger
from training.text.config import TaggerConfig
from training.text.export import export_tagger
from training.text.fit import probabilities
from training.text.reports import of_split, read_reports
from training.text.samples import Floats, TaggerBatches, windows_of
from training.text.study import MACRO, measure, read_results


@pytest.fixture(scope="module")
def undisturbed(reports_folder: Path, recipe: TaggerConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train_tagger(reports_folder, recipe, folder)
    return folder


@pytest.fixture(scope="module")
def trained(undisturbed: Path) -> TrainedTagger:
    return read_tagger(undisturbed)


class Stopped(Exception):
    """What stops a run in these tests."""


def test_a_stopped_run_ends_with_the_same_weights(
    reports_folder: Path, recipe: TaggerConfig, trained: TrainedTagger, tmp_path: Path
) -> None:
    prepare = TaggerBatches.__call__

    def prepare_or_stop(source: TaggerBatches, number: int) -> tuple[Floats, Floats, Floats]:
        if number == source.total - 1:
            raise Stopped
        return prepare(source, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TaggerBatches, "__call__", prepare_or_stop)
        with pytest.raises(Stopped):
            train_tagger(reports_folder, recipe, tmp_path)
    assert (tmp_path / "member0.checkpoint.npz").is_file()
    train_tagger(reports_folder, recipe, tmp_path)
    again = read_tagger(tmp_path)
    assert again.run == trained.run
    for one, other in zip(trained.members, again.members, strict=True):
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_another_recipe_is_refused(
    reports_folder: Path, recipe: TaggerConfig, undisturbed: Path
) -> None:
    other = recipe.model_copy(update={"seed": recipe.seed + 1})
    with pytest.raises(OtherRun, match="seed"):
        train_tagger(reports_folder, other, undisturbed)


def test_members_differ_and_their_mean_is_between(trained: TrainedTagger, reports_folder: Path) -> None:
    val = of_split(read_reports(reports_folder), "val")
    ids = windows_of(val, trained.run.vocabulary, trained.run.config.input).ids
    one, other, mean = (probabilities(m, ids) for m in ([trained.members[0]], [trained.members[1]], trained.members))
    assert np.abs(one - other).max() > 1e-4
    np.testing.assert_allclose(mean, (one + other) / 2, atol=1e-6)


@pytest.fixture(scope="module")
def bundle(trained: TrainedTagger, reports_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    measure(trained, reports_folder, folder / "results.json")
    path = folder / "report-tagger" / "1"
    export_tagger(trained, read_results(folder / "results.json"), path)
    return path


def test_both_runtimes_say_what_the_network_says(bundle: Path, trained: TrainedTagger, reports_folder: Path) -> None:
    val = of_split(read_reports(reports_folder), "val")
    ids = windows_of(val, trained.run.vocabulary, trained.run.config.input).ids
    expected = probabilities(trained.members, ids)
    for backend in (OpenVINOBackend(1), TensorFlowBackend(1)):
        tagger = Tagger.verify(bundle, backend)
        tagger.load()
        np.testing.assert_allclose(backend.run(ids)[OUTPUT], expected, atol=1e-5)
        assert ReportReader(tagger).read("A mass of 41 mm.").sentences[0].labels is None  # loaded by the reader alone


def test_the_card_and_the_manifest_hold_what_was_measured(bundle: Path) -> None:
    results = read_results(bundle.parents[1] / "results.json")
    assert results.cases == 2
    assert {each.reports for each in results.languages.values()} == {4}
    assert all(each.boundaries["shared"] == each.boundaries["official"] == 20 for each in results.languages.values())
    card = (bundle / "MODEL_CARD.md").read_text("utf-8")
    assert f"{results.languages['en'].tagger[MACRO].value:.3f}" in card
    assert f"{results.languages['ja'].baseline[MACRO].value:.3f}" in card
    assert "RadNLP" in card


def test_figures_of_other_weights_are_refused(trained: TrainedTagger, bundle: Path, tmp_path: Path) -> None:
    results = read_results(bundle.parents[1] / "results.json").model_copy(update={"weights": "sha256:other"})
    with pytest.raises(DatasetMalformed, match="figures of weights sha256:other"):
        export_tagger(trained, results, tmp_path / "report-tagger" / "1")
    assert not (tmp_path / "report-tagger").exists()
