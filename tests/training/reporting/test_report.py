"""The report and a bundle measured on a table, from the tiny run."""

from __future__ import annotations

import base64
import csv
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from app.inference.bundle import Interval, load_bundle
from tests.training.conftest import TinyRun
from training.data.nodules import Dataset, DatasetMalformed, Nodule
from training.data.references import References, read_references
from training.evaluation.bundle_study import UNKNOWN, as_calibration, bundle_study, warnings_of
from training.evaluation.held_out import save
from training.evaluation.results import EVALUATION_FILE, HELD_OUT_FILE, read_evaluation
from training.evaluation.study import Study, cross_validated
from training.fitting.config import Config
from training.fitting.samples import nodule_view
from training.reporting import charts, outlines
from training.reporting.assessment import assess_bundle, assess_recipe
from training.reporting.bundles import load_graph
from training.reporting.predictions_table import PREDICTIONS_TABLE
from training.reporting.report import REPORT_FILE, WORST, render, summary, worst_errors


class Page(HTMLParser):
    """Counts what is open and keeps where pictures and anything else come from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def assessed(tiny_run: TinyRun, dataset: Dataset, config: Config, generated_data: Path) -> Path:
    """The folder that scripts/evaluate.py --again leaves behind."""
    folder = tiny_run.folder / "assessed"
    folder.mkdir()
    save(folder / HELD_OUT_FILE, tiny_run.held_out, tiny_run.candidates)
    assess_recipe(dataset, config, read_references(generated_data), folder, "pytest", again=True, restart=False)
    return folder


def test_the_report_holds_every_figure_and_its_own_pictures(assessed: Path) -> None:
    text, evaluation = (assessed / REPORT_FILE).read_text("utf-8"), read_evaluation(assessed)
    page = Page(text)
    assert page.open == []
    for name, figure in evaluation.figures.items():
        assert f"<code>{name}</code></td><td>{figure.value:.3f} [" in text
    for group in evaluation.subgroups:
        assert f"<td>{group.axis}</td><td>{escape(group.name)}</td>" in text
    for target in evaluation.targets:
        assert escape(target.name) in text
    assert len(page.sources) >= 6
    for source in page.sources:
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert "Not a medical device" in text


def test_the_report_names_no_patient(assessed: Path, dataset: Dataset) -> None:
    words = re.sub(r'src="[^"]*"', "", (assessed / REPORT_FILE).read_text("utf-8"))
    assert not [n.patient for n in dataset.nodules if re.search(rf"\b{n.patient}\b", words)]


def test_the_report_escapes_what_a_table_says(tiny_run: TinyRun, dataset: Dataset, config: Config) -> None:
    hostile = Dataset(tuple(replace(n, manufacturer="<script>alert(1)</script>") for n in dataset.nodules), ())
    study = cross_validated(tiny_run.held_out, tiny_run.candidates, hostile, config, References())
    subgroups = tuple(g.model_copy(update={"name": "<script>"}) for g in tiny_run.evaluation.subgroups)
    evaluation = tiny_run.evaluation.model_copy(update={"subgroups": subgroups, "command": "a & b"})
    text = render(study, evaluation, config, lambda cases: [None] * len(cases), {})
    assert "<script>" not in text
    assert "a &amp; b" in text


def test_the_worst_errors_come_first(tiny_run: TinyRun, dataset: Dataset, config: Config) -> None:
    study = cross_validated(tiny_run.held_out, tiny_run.candidates, dataset, config, References())
    missed, alarmed = worst_errors(study, config)
    probability, suspicious = study.answers.probability, study.nodules.suspicious
    assert suspicious[missed].all()
    assert not suspicious[alarmed].any()
    assert len(missed) <= WORST
    assert probability[missed[0]] == probability[suspicious & (study.nodules.median != 3)].min()
    assert (np.diff(probability[alarmed]) <= 0).all()


def test_charts_survive_what_is_missing(config: Config, tiny_run: TinyRun, dataset: Dataset) -> None:
    study = cross_validated(tiny_run.held_out, tiny_run.candidates, dataset, config, References())
    bare = replace(study, logistic=np.full(len(study.logistic), np.nan))
    for png in (charts.roc(bare, config), charts.size_matched(bare, config)):
        assert png is not None
        assert png.startswith(b"\x89PNG")
    flat = np.zeros((48, 48), np.float32)
    assert charts.picture(flat, None, None).startswith(b"\x89PNG")


def test_coverage_is_drawn_where_a_class_and_size_was_measured() -> None:
    assert charts.coverage({}, 0.9) is None
    held = {"coverage_benign_6_to_10_mm": Interval(value=0.9, low=0.85, high=0.95)}
    png = charts.coverage(held, 0.9)
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_an_outline_comes_from_the_nodules_own_fold(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    network = (tiny_run.folder / "network.keras").read_bytes()
    (tmp_path / "fold1").mkdir()
    (tmp_path / "fold1" / "network.keras").write_bytes(network)
    masks = outlines.of_folds(tmp_path, config.input, dataset.nodules)
    assert [mask is not None for mask in masks] == [n.fold == 1 for n in dataset.nodules]
    shown = [mask for mask in masks if mask is not None]
    assert shown[0].shape == (config.input.size_px,) * 2


@pytest.fixture(scope="module")
def served(tiny_run: TinyRun, dataset: Dataset, config: Config) -> Study:
    """The tiny bundle on the generated data."""
    return bundle_study(load_bundle(tiny_run.bundle), load_graph(tiny_run.bundle), dataset, config, References())


def test_a_bundle_is_judged_by_its_own_manifest(tiny_run: TinyRun, served: Study) -> None:
    manifest = load_bundle(tiny_run.bundle).manifest
    p = served.answers.probability
    np.testing.assert_array_equal(served.answers.called, p >= manifest.operating_point.threshold)
    for k, (probability, size_mm) in enumerate(zip(p, served.nodules.soft_diameter_mm, strict=True)):
        held = manifest.conformal.prediction_set(float(probability), float(size_mm))
        assert ("cancer_suspected" in held, "normal" in held) == (
            served.answers.holds_suspicious[k],
            served.answers.holds_benign[k],
        )
    inside = served.nodules.distance <= manifest.out_of_distribution.threshold
    np.testing.assert_array_equal(served.answers.in_distribution, inside)


def test_a_bundle_gives_the_probability_that_its_graph_gives(tiny_run: TinyRun, served: Study, config: Config) -> None:
    views = [nodule_view(case, config.input.patch_spec).hu for case in served.cases]
    said = load_graph(tiny_run.bundle)(np.stack(views))
    np.testing.assert_allclose(served.answers.probability, said["malignancy"], atol=1e-6)
    np.testing.assert_allclose(served.nodules.traits, said["traits"], atol=1e-6)


def test_a_bundle_on_its_training_data_says_so(tiny_run: TinyRun, dataset: Dataset) -> None:
    manifest = load_bundle(tiny_run.bundle).manifest
    assert "trained on exactly this data (lidc-nodules)" in warnings_of(manifest, dataset)[0]
    elsewhere = Dataset(dataset.nodules, (), (("lidc-nodules", "sha256:0"),))
    assert warnings_of(manifest, elsewhere)[0].startswith(UNKNOWN[:60])
    assert as_calibration(manifest).slope == 1.0


def test_a_bundle_is_assessed_into_a_folder(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    nodules = Dataset(dataset.nodules, (), dataset.digests)
    found = assess_bundle(tiny_run.bundle, nodules, config, References(), tmp_path / "out", "pytest")
    assert read_evaluation(tmp_path / "out") == found
    assert found.protocol.startswith("tiny-classifier 1 (sha256:")
    assert found.candidates == 0
    assert "dice" in found.figures
    text = (tmp_path / "out" / REPORT_FILE).read_text("utf-8")
    assert 'class="warning">The bundle was trained on exactly this data' in text
    assert summary(found).startswith("warning: ")
    assert (tmp_path / "out" / EVALUATION_FILE).is_file()


def test_a_table_without_outlines_traits_or_diameters_is_measured(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    unknown = (float("nan"),) * 7
    bare = [replace(n, outline=None, traits=unknown, diameter_mm=float("nan")) for n in dataset.nodules]
    found = assess_bundle(tiny_run.bundle, Dataset(tuple(bare), ()), config, References(), tmp_path, "pytest")
    assert "auc" in found.figures
    absent = ("dice", "diameter_error_mm", "auc_diameter_alone", "size_matched_auc", "spearman_margin")
    assert not set(absent) & set(found.figures)
    assert {g.axis for g in found.subgroups} == {"manufacturer", "readers"}
    assert "diameter unknown" in (tmp_path / REPORT_FILE).read_text("utf-8")


def labelled_once(dataset: Dataset) -> Dataset:
    """The same nodules as a table of one's own, with one label each."""
    nodules = (replace(n, malignancy=(5 if n.median_malignancy > 3 else 1,)) for n in dataset.nodules)
    return Dataset(tuple(nodules), (), (("table", "sha256:0"),), ("Columns that are not read: age.",))


def test_one_label_a_nodule_is_enough_and_said(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    own = labelled_once(dataset)
    found = assess_bundle(tiny_run.bundle, own, config, References(), tmp_path, "pytest")
    assert found.nodules == len(own.nodules)
    assert {"auc", "case_auc", "ece"} <= found.figures.keys()
    assert any("No nodule has the 3 readers" in text for text in found.warnings)
    assert "Columns that are not read: age." in found.warnings
    text = (tmp_path / REPORT_FILE).read_text("utf-8")
    assert "those of the table" in text
    assert "LUNA16 candidates in all" not in text


def test_a_table_of_ones_own_is_not_measured_by_this_projects_targets(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    found = assess_bundle(tiny_run.bundle, labelled_once(dataset), config, References(), tmp_path, "pytest")
    assert found.targets == ()
    assert "<h2>Targets</h2>" not in (tmp_path / REPORT_FILE).read_text("utf-8")
    assert tiny_run.evaluation.targets


def test_every_nodule_has_a_row_of_what_was_answered(
    tiny_run: TinyRun, dataset: Dataset, config: Config, served: Study, tmp_path: Path
) -> None:
    assess_bundle(tiny_run.bundle, Dataset(dataset.nodules, ()), config, References(), tmp_path, "pytest")
    with (tmp_path / PREDICTIONS_TABLE).open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["nodule"]) for row in rows] == [case.nodule_id for case in served.cases]
    assert {row["patient"] for row in rows} == dataset.patients
    assert [row["decision"] for row in rows] == served.answers.decisions.tolist()
    np.testing.assert_allclose([float(row["probability"]) for row in rows], served.answers.probability, atol=1e-5)


def test_axes_without_anything_on_them_are_not_shown(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    one_class = tuple(n for n in dataset.nodules if n.median_malignancy < 3)
    bare = tuple(replace(n, traits=(float("nan"),) * 7, diameter_mm=float("nan")) for n in one_class)
    assess_bundle(tiny_run.bundle, Dataset(bare, ()), config, References(), tmp_path, "pytest")
    text = (tmp_path / REPORT_FILE).read_text("utf-8")
    absent = ("ROC", "AUC among nodules", "AUC by size band", "Traits against", "Learning curves")
    assert not [title for title in absent if f"<figcaption>{title}" in text]
    assert "<figcaption>Reliability" in text
    assert charts.learning({}) is None
    assert charts.traits({}) is None
    assert charts.size_bands(()) is None


def test_learning_curves_of_every_fold_are_shown(
    tiny_run: TinyRun, dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    save(tmp_path / HELD_OUT_FILE, tiny_run.held_out, tiny_run.candidates)
    for fold in (0, 1):
        (tmp_path / f"fold{fold}").mkdir()
        (tmp_path / f"fold{fold}" / "losses.csv").write_text("step,loss,learning_rate\n0,2,1\n1,1,1\n", "utf-8")
    assess_recipe(dataset, config, References(), tmp_path, "pytest", again=True, restart=False)
    assert "<figcaption>Learning curves" in (tmp_path / REPORT_FILE).read_text("utf-8")


def test_data_that_cannot_be_cross_validated_say_so_before_anything_is_trained(
    dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    def refused(nodules: list[Nodule], message: str) -> None:
        with pytest.raises(DatasetMalformed, match=message):
            assess_recipe(
                Dataset(tuple(nodules), ()), config, References(), tmp_path, "pytest", again=False, restart=False
            )
        assert not list(tmp_path.iterdir())

    refused([replace(n, fold=0) for n in dataset.nodules], r"nodules in 1 fold\(s\)")
    refused([n for n in dataset.nodules if n.median_malignancy < 3], "0 suspicious and [0-9]+ benign nodules outside")
