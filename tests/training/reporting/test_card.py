"""The model card: its headings, and that every number in it comes from the manifest or the evaluation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.inference.bundle import Interval, Manifest, load_bundle
from app.inference.conformal import Conformal, SizeQuantiles
from tests.training.conftest import TinyRun
from training.evaluation.results import Evaluation
from training.evaluation.subgroups import Subgroup
from training.fitting.artefacts import read_artefacts
from training.reporting.card import write_card

# Top level of the CHAI applied model card, schema v0.2, in its order.
HEADINGS = ("Basic and release information", "Model summary", "Uses and directions", "Warnings", "Trust ingredients",
            "Key metrics", "Resources", "Bibliography")  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tiny_run: TinyRun) -> Manifest:
    """The tiny bundle's manifest."""
    return load_bundle(tiny_run.bundle).manifest


def written(folder: Path, tiny_run: TinyRun, manifest: Manifest, **changes: object) -> str:
    evaluation = Evaluation.model_validate(tiny_run.evaluation.model_dump() | changes)
    write_card(folder / "card.md", manifest, evaluation, read_artefacts(tiny_run.folder).run)
    return (folder / "card.md").read_text("utf-8")


def group(name: str, low: float, value: float, high: float) -> Subgroup:
    figures = {"sensitivity": Interval(value=value, low=low, high=high)}
    return Subgroup(axis="diameter", name=name, nodules=40, patients=30, suspicious=20, figures=figures)


def test_headings_are_those_of_the_applied_model_card(tiny_run: TinyRun) -> None:
    card = load_bundle(tiny_run.bundle).card
    assert tuple(re.findall(r"^## (.+)$", card, re.MULTILINE)) == HEADINGS
    for heading in ("Usefulness, usability and efficacy", "Fairness and equity", "Safety and reliability"):
        assert f"### {heading}" in card


def test_targets_decisions_and_subgroups_are_in_the_card(tiny_run: TinyRun) -> None:
    card = load_bundle(tiny_run.bundle).card
    for target in tiny_run.evaluation.targets:
        assert f"| {target.name} | {target.wanted} |" in card
    for subgroup in tiny_run.evaluation.subgroups:
        assert f"| {subgroup.axis} | {subgroup.name} | {subgroup.nodules} | {subgroup.suspicious} |" in card
    for verdict, counts in tiny_run.evaluation.decisions.items():
        assert f"| {verdict} | {' | '.join(str(count) for count in counts.values())} |" in card


def test_a_worse_subgroup_is_named_among_the_biases(tiny_run: TinyRun, manifest: Manifest, tmp_path: Path) -> None:
    groups = (group("large", 0.92, 0.95, 0.97), group("small", 0.6, 0.7, 0.8), group("middling", 0.8, 0.9, 0.95),
              group("lucky", 1.0, 1.0, 1.0))  # fmt: skip
    card = written(tmp_path, tiny_run, manifest, subgroups=groups)
    assert "small 0.700 (0.600 to 0.800) lies wholly below large 0.950 (0.920 to 0.970)" in card
    assert "middling 0.900" not in card
    assert "wholly below lucky" not in card


def test_the_comparison_with_a_baseline_follows_its_interval(
    tiny_run: TinyRun, manifest: Manifest, tmp_path: Path
) -> None:
    figures = tiny_run.evaluation.figures | {
        "auc_gain_over_diameter": Interval(value=0.02, low=0.01, high=0.03),
        "auc_gain_over_one_reader": Interval(value=-0.02, low=-0.03, high=-0.01),
    }
    card = written(tmp_path, tiny_run, manifest, figures=figures)
    assert "ranks better than diameter (gain 0.020 (0.010 to 0.030))" in card
    assert "AUC is above that of diameter alone" in card
    assert "AUC is below that of one reader" in card


def test_a_figure_stands_beside_its_ceiling_and_its_command(
    tiny_run: TinyRun, manifest: Manifest, tmp_path: Path
) -> None:
    figures = {
        "auc": Interval(value=0.95, low=0.93, high=0.97),
        "auc_one_reader": Interval(value=0.91, low=0.89, high=0.93),
        "dice": Interval(value=0.8, low=0.79, high=0.81),
    }
    card = written(tmp_path, tiny_run, manifest, figures=figures, counts={"patients, pathology benign": 25})
    assert "| auc | 0.950 | 0.930 to 0.970 | 0.910 (0.890 to 0.930) | suspicious against benign |" in card
    assert "| dice | 0.800 | 0.790 to 0.810 |  |" in card  # nobody's outlines were compared
    assert "Command of every figure below: `pytest tests/training`" in card
    assert "- patients, pathology benign: 25" in card


@pytest.mark.parametrize(
    ("low", "said"), [(-0.02, "Neither the network nor the readers are known to beat size"), (0.01, "is beaten for")]
)
def test_what_became_of_patients_is_said_by_its_interval(
    tiny_run: TinyRun, manifest: Manifest, tmp_path: Path, low: float, said: str
) -> None:
    figures = {
        "pathology_primary_auc": Interval(value=0.8, low=0.7, high=0.9),
        "pathology_primary_auc_gain_over_diameter": Interval(value=0.02, low=low, high=0.06),
    }
    card = written(tmp_path, tiny_run, manifest, figures=figures)
    assert said in card
    assert "| pathology_primary_auc | 0.800 |" in card
    assert "became of patients" not in written(tmp_path, tiny_run, manifest, figures={})


def test_sets_by_size_and_what_was_pooled_are_in_the_card(
    tiny_run: TinyRun, manifest: Manifest, tmp_path: Path
) -> None:
    by_size = Conformal(
        coverage=0.9,
        quantiles={
            "cancer_suspected": SizeQuantiles(
                quantiles=(0.7, 0.2), edges_mm=(10.0,), nodules=(48, 298), pooled_mm=(6.0, 20.0)
            ),
            "normal": SizeQuantiles(quantiles=(0.5,), nodules=(378,)),
        },
        min_nodules=20,
    )
    card = written(tmp_path, tiny_run, manifest.model_copy(update={"conformal": by_size}))
    assert (
        "cancer_suspected: < 10 mm 0.700 (n = 48), >= 10 mm 0.200 (n = 298); normal: all sizes 0.500 (n = 378)" in card
    )
    assert "fewer than 20 nodules of a class are pooled with their neighbours: cancer_suspected at 6 and 20 mm." in card


def test_a_card_without_subgroups_says_that_they_were_not_measured(
    tiny_run: TinyRun, manifest: Manifest, tmp_path: Path
) -> None:
    card = written(tmp_path, tiny_run, manifest, subgroups=(), decisions={}, targets=())
    assert "Not measured." in card
    assert "None recorded." in card
