"""Roi, slice and series do not contradict each other: what a search lists, who points at it is told of too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.imaging.ct import CTSlice
from app.imaging.volume import CTVolume
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.inference.prediction import Finding, Prediction
from app.inference.registry import Models
from app.inference.series import diagnose_volume
from app.inference.suspicion import SecondLook
from app.inference.view import ViewCheck
from tests.fakes import ArithmeticView, write_view
from tests.inference.slices import chest
from tests.inference.volumes import chest_volume

PLACE = (75, 125)


@pytest.fixture
def models(tmp_path: Path, model: Model, detector: Detector, second_look: SecondLook) -> Models:
    view = ViewCheck.verified(write_view(tmp_path), ArithmeticView())
    return Models(model, detector, second_look, view)


@pytest.fixture
def narrow(models: Models) -> Models:
    """The same, for which nothing is like the training data."""
    bundle = models.classifier.bundle
    nothing = bundle.manifest.out_of_distribution.model_copy(update={"threshold": 1e-6})
    manifest = bundle.manifest.model_copy(update={"out_of_distribution": nothing})
    return replace(models, classifier=Model(replace(bundle, manifest=manifest), models.classifier.backend))


def of_slice(models: Models, ct_slice: CTSlice, roi_px: tuple[float, float] | None = None) -> Prediction:
    return diagnose(ct_slice, roi_px, models.classifier, models.detector, models.second_look)


def of_volume(models: Models, volume: CTVolume) -> Prediction:
    return diagnose_volume(
        volume, models.classifier, models.detector, models.second_look, lambda _stage, _done, _of: None, lambda: False
    )


def assert_agreed(found: Finding, pointed: Prediction) -> None:
    assert pointed.decision != "rejected"
    if found.suspicion == "suspected":
        assert pointed.decision != "normal"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("known", [True, False])
def test_what_a_slice_lists_is_no_other_thing_as_a_roi(models: Models, narrow: Models, known: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    asked = models if known else narrow
    places = {(60, 100): 0.0, (85, 150): 0.0, (185, 110): 0.0, (175, 160): 0.0}
    ct_slice = chest({place: (random.uniform(6, 30), random.uniform(-500, 1100)) for place in places})
    prediction = of_slice(asked, ct_slice)
    assert prediction.findings
    for finding in prediction.findings:
        assert_agreed(finding, of_slice(asked, ct_slice, finding.center_px))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [True, False])
def test_what_a_series_lists_is_no_other_thing_as_a_roi(models: Models, narrow: Models, known: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    asked = models if known else narrow
    places = ((60.0, 100.0, 5.0), (85.0, 150.0, 9.0), (185.0, 110.0, 7.0))
    volume = chest_volume({place: (random.uniform(8, 24), random.uniform(-400, 1100)) for place in places})
    prediction = of_volume(asked, volume)
    assert prediction.findings
    for finding in prediction.findings:
        assert finding.slice is not None
        assert_agreed(finding, of_slice(asked, volume.slice_at(finding.slice.index), finding.center_px))


@pytest.mark.parametrize(
    ("hu", "decision", "reasons"),
    [
        (400, "cancer_suspected", ()),
        (150, "indeterminate", ("near_operating_point",)),
        (-300, "indeterminate", ("out_of_distribution",)),
    ],
)
def test_what_the_classifier_does_not_know_is_decided_by_the_score(
    narrow: Models, hu: float, decision: str, reasons: tuple[str, ...]
) -> None:
    ct_slice = chest({PLACE: (16, hu)})
    searched, pointed = (of_slice(narrow, ct_slice, roi) for roi in (None, PLACE))
    for said in (searched, pointed):
        assert (said.decision, said.probability) == (decision, None)
        assert set(reasons) <= set(said.reasons)
    (finding,) = pointed.findings
    assert finding.suspicion_score == pytest.approx(hu / 100, abs=0.1)


def test_what_the_classifier_takes_for_no_nodule_is_left_open_where_the_score_is_high(models: Models) -> None:
    """It takes what is denser than 900 HU for no nodule; in the lung that is no bone."""
    ct_slice = chest({PLACE: (16, 950)})
    for roi in (None, PLACE):
        said = of_slice(models, ct_slice, roi)
        assert (said.decision, said.reasons) == ("indeterminate", ("near_operating_point",))
        assert said.findings[0].suspicion == "open"


def test_an_ordinary_roi_is_not_looked_at_twice(models: Models) -> None:
    (finding,) = of_slice(models, chest({PLACE: (16, 400)}), PLACE).findings
    assert (finding.detector_score, finding.suspicion_score, finding.suspicion) == (None, None, None)
