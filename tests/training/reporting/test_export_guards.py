"""Exporting: weights and figures of one recipe and data only, and nothing that is there is lost by accident."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from app.errors import BundleError
from app.inference.bundle import load_bundle
from tests.training.conftest import TinyRun
from training.data.nodules import Dataset
from training.data.references import References
from training.evaluation.held_out import save
from training.evaluation.results import EVALUATION_FILE, HELD_OUT_FILE, Evaluation, recipe_of
from training.evaluation.study import PredictionsDiffer
from training.fitting.artefacts import RUN_FILE, Artefacts, read_artefacts
from training.fitting.config import Config
from training.reporting.assessment import assess_recipe
from training.reporting.export import export_bundle
from training.reporting.provenance import require_free, require_same, written_beside


@pytest.fixture(scope="module")
def artefacts(tiny_run: TinyRun) -> Artefacts:
    return read_artefacts(tiny_run.folder)


def refused(artefacts: Artefacts, evaluation: Evaluation, message: str, folder: Path) -> None:
    with pytest.raises(BundleError, match=message):
        export_bundle(artefacts, evaluation, folder / "some-classifier" / "1")
    assert not (folder / "some-classifier").exists()


def test_figures_of_another_configuration_are_refused(
    tiny_run: TinyRun, artefacts: Artefacts, config: Config, tmp_path: Path
) -> None:
    longer = config.model_copy(update={"optimiser": config.optimiser.model_copy(update={"steps": 800})})
    other = tiny_run.evaluation.model_copy(update={"recipe": recipe_of(longer)})
    refused(artefacts, other, r"another configuration .*optimiser\.steps: 800 there, 2 here", tmp_path)


def test_figures_on_other_data_are_refused(tiny_run: TinyRun, artefacts: Artefacts, tmp_path: Path) -> None:
    other = tiny_run.evaluation.model_copy(update={"data": {"table": "sha256:0"}})
    refused(artefacts, other, r"on other data .*table: sha256:0 there, nothing here", tmp_path)


def test_figures_that_do_not_say_of_what_they_are_are_refused(
    tiny_run: TinyRun, artefacts: Artefacts, tmp_path: Path
) -> None:
    refused(artefacts, tiny_run.evaluation.model_copy(update={"recipe": {}}), "do not say of which settings", tmp_path)


def test_weights_of_another_run_are_refused(tiny_run: TinyRun, artefacts: Artefacts) -> None:
    seeded = artefacts.run.model_copy(update={"config": artefacts.run.config.model_copy(update={"seed": 1})})
    with pytest.raises(BundleError, match="seed"):
        require_same(seeded, tiny_run.evaluation)
    require_same(artefacts.run, tiny_run.evaluation)


def test_a_bundle_is_replaced_only_by_force(tiny_run: TinyRun, artefacts: Artefacts, tmp_path: Path) -> None:
    folder = tmp_path / "tiny-classifier" / "1"
    export_bundle(artefacts, tiny_run.evaluation, folder)
    digest = load_bundle(folder).digest
    with pytest.raises(BundleError, match=r"there already.*Export as tiny-classifier/2, or give --force"):
        export_bundle(artefacts, tiny_run.evaluation, folder)
    assert load_bundle(folder).digest == digest
    renamed = tiny_run.evaluation.model_copy(update={"command": "another"})
    export_bundle(artefacts, renamed, folder, force=True)
    assert load_bundle(folder).manifest.performance.command == "another"


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "thesis" / "1"
    folder.mkdir(parents=True)
    for force in (False, True):
        with pytest.raises(BundleError, match=r"is no bundle.*another --out"):
            require_free(folder, force=force)


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    folder.mkdir()
    (folder / "old").touch()

    def interrupted() -> None:
        with written_beside(folder) as part:
            (part / "new").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert [p.name for p in folder.iterdir()] == ["old"]


def test_lineage_names_the_files_that_it_was_made_of(tiny_run: TinyRun, dataset: Dataset) -> None:
    lineage = load_bundle(tiny_run.bundle).manifest.lineage
    assert lineage is not None
    run = hashlib.sha256((tiny_run.folder / RUN_FILE).read_bytes()).hexdigest()
    evaluation = hashlib.sha256((tiny_run.folder / EVALUATION_FILE).read_bytes()).hexdigest()
    assert (lineage.run, lineage.evaluation) == (f"sha256:{run}", f"sha256:{evaluation}")
    assert lineage.data == dict(dataset.digests)
    said = list(lineage.sentences())
    assert said[0].startswith(f"weights by run sha256:{run} of recipe tiny on lidc-nodules sha256:")


def test_stored_predictions_of_another_configuration_are_refused(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    save(tmp_path / HELD_OUT_FILE, tiny_run.held_out, tiny_run.candidates, recipe_of(config))

    def again(config: Config) -> Evaluation:
        return assess_recipe(dataset, config, References(), tmp_path, "pytest", again=True, restart=False)

    with pytest.raises(PredictionsDiffer, match=r"seed: .* there, 1 here"):
        again(config.model_copy(update={"seed": 1}))
    wider = config.model_copy(update={"calibration": config.calibration.model_copy(update={"coverage": 0.8})})
    assert again(wider).recipe == recipe_of(wider)  # what is fitted on predictions may be chosen anew


def test_stored_predictions_that_do_not_say_of_what_they_are_give_figures_and_no_bundle(
    tiny_run: TinyRun, artefacts: Artefacts, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    save(tmp_path / HELD_OUT_FILE, tiny_run.held_out, tiny_run.candidates)
    found = assess_recipe(dataset, config, References(), tmp_path, "pytest", again=True, restart=False)
    assert found == replace_recipe(tiny_run.evaluation, found.command)
    refused(artefacts, found, "do not say", tmp_path)


def replace_recipe(evaluation: Evaluation, command: str) -> Evaluation:
    return evaluation.model_copy(update={"recipe": {}, "command": command})
