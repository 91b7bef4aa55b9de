"""Second opinions on the findings of a series, with models whose answers are arithmetic."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import BundleError, ModelLoading, SecondOpinionOff
from app.imaging.volume import CTVolume
from app.inference.detector import Detector
from app.inference.model import Model
from app.inference.prediction import Finding, Prediction, SecondOpinion, SliceOutline
from app.inference.second_opinion import SecondOpinions, opinion_on, with_opinions
from app.inference.sequence import NAME, NoduleSequence
from app.inference.series import diagnose_volume
from app.inference.suspicion import SecondLook
from tests.inference.arithmetic_sequence import ArithmeticSequence, arithmetic_sequence, write_sequence
from tests.inference.volumes import chest_volume

LEFT, RIGHT = (70.0, 120.0, 8.0), (185.0, 130.0, 9.0)


@pytest.fixture
def network(tmp_path: Path) -> NoduleSequence:
    return arithmetic_sequence(tmp_path)


@pytest.fixture
def volume() -> CTVolume:
    """A sphere of 16 mm and 400 HU and one of 12 mm and -300 HU; pixels of 1.4 mm, slices of 2.5 mm."""
    return chest_volume({LEFT: (16.0, 400.0), RIGHT: (12.0, -300.0)})


@pytest.fixture
def prediction(volume: CTVolume, model: Model, detector: Detector, second_look: SecondLook) -> Prediction:
    return diagnose_volume(volume, model, detector, second_look, lambda _stage, _done, _of: None, lambda: False)


def test_each_finding_gets_an_opinion_and_nothing_else_changes(
    prediction: Prediction, volume: CTVolume, network: NoduleSequence
) -> None:
    beside = with_opinions(prediction, volume, network)
    dense, faint = (finding.second_opinion for finding in beside.findings)
    assert dense is not None
    assert faint is not None
    # What lies inside is the sphere alone, whatever the classifier thinks of it.
    assert dense.probability == pytest.approx(0.7, abs=0.03)
    assert faint.probability == pytest.approx(0.35, abs=0.03)
    assert (dense.slices, dense.reason) == (len(beside.findings[0].outlines), None)
    for name in (field.name for field in fields(Prediction) if field.name != "findings"):
        assert getattr(beside, name) is getattr(prediction, name)
    for one, other in zip(prediction.findings, beside.findings, strict=True):
        assert replace(other, second_opinion=None).probability == one.probability
        assert (other.suspicion, other.suspicion_score) == (one.suspicion, one.suspicion_score)


def test_outlines_are_those_of_the_slices_on_which_it_shows(prediction: Prediction) -> None:
    for finding in prediction.findings:
        assert {each.index for each in finding.outlines} <= {ref.index for ref in finding.slices}
        assert finding.slice is not None
        (own,) = (each for each in finding.outlines if each.index == finding.slice.index)
        np.testing.assert_array_equal(own.points_px, finding.outline_px)


def square(index: int, side_mm: float) -> SliceOutline:
    side = side_mm / 1.4
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], np.float64)
    return SliceOutline(index, corners + np.array([60, 110]))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"probability": None}, SecondOpinion(None, 0, "not_judged")),
        ({"outlines": ()}, SecondOpinion(None, 0, "too_few_slices")),
        ({"outlines": (square(8, 10),)}, SecondOpinion(None, 1, "too_few_slices")),
        ({"outlines": (square(8, 10), square(9, 40))}, SecondOpinion(None, 2, "too_large")),
    ],
)
def test_without_an_opinion_there_is_a_reason(
    prediction: Prediction,
    volume: CTVolume,
    network: NoduleSequence,
    changed: dict[str, object],
    expected: SecondOpinion,
) -> None:
    finding: Finding = replace(prediction.findings[0], **changed)  # type: ignore[arg-type]  # as the table has them
    assert opinion_on(finding, volume, network) == expected


def test_an_opinion_has_a_probability_or_a_reason() -> None:
    with pytest.raises(ValueError, match="a probability, or a reason"):
        SecondOpinion(0.5, 3, "too_large")
    with pytest.raises(ValueError, match="a probability, or a reason"):
        SecondOpinion(None, 3, None)


class Broken(ArithmeticSequence):
    def load(self, path: Path) -> None:
        raise BundleError(found=path.name, expected="another", remedy="none")


def test_opinions_are_refused_until_the_network_runs(tmp_path: Path) -> None:
    nobody = SecondOpinions.verified(tmp_path, NAME, ArithmeticSequence())
    nobody.load()
    with pytest.raises(SecondOpinionOff, match="no bundle"):
        nobody.require()
    write_sequence(tmp_path)
    opinions = SecondOpinions.verified(tmp_path, NAME, ArithmeticSequence())
    with pytest.raises(ModelLoading):
        opinions.require()
    opinions.load()
    assert opinions.require() is opinions.network
    broken = SecondOpinions.verified(tmp_path, NAME, Broken())
    with pytest.raises(BundleError):
        broken.load()
    with pytest.raises(SecondOpinionOff, match="could not be loaded"):
        broken.require()
