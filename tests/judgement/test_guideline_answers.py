"""What guidelines are told of a judgement, and how their words and numbers are written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.errors import InvalidParameter
from app.guidelines.case import Context
from app.guidelines.register import GUIDELINES
from app.imaging.ct import QualityNote, ScanFacts
from app.imaging.lung_frame import Location
from app.inference.prediction import Finding, Prediction, Series, SliceRef, Trait
from app.judgement.answers import answer
from app.judgement.context import EXAMPLE, parse_context
from app.judgement.guideline_case import case_of
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import parse_parameters, parse_series_parameters
from phantoms.series import NODULE, slice_file

ALL = ",".join(GUIDELINES)
SERIES = Series(120, 1.0, None, None, (), lungs_ml=5000.0, below_950_share=0.0312)


@pytest.fixture
def judged(judge: Judge) -> Judgement:
    """A slice with one nodule, pointed at, of a woman of 61."""
    roi = ",".join(map(str, NODULE.centre_px))
    data = slice_file(8, PatientAge="061Y", PatientSex="F", ConvolutionKernel="B30f")
    return judge.slice(data, parse_parameters({"roi": roi, "guidelines": ALL}))


def changed(prediction: Prediction, **finding: object) -> Prediction:
    (only,) = prediction.findings
    return replace(prediction, findings=(replace(only, **finding),))  # type: ignore[arg-type]  # fields of a finding


def only(prediction: Prediction) -> Finding:
    (found,) = prediction.findings
    return found


def test_age_and_sex_are_those_of_the_header_unless_the_client_knows_better(judged: Judgement) -> None:
    assert judged.prediction.source.facts == ScanFacts("B30f", 2.5, 61, "female")
    assert case_of(judged.prediction, Context()).context == Context(age_years=61, sex="female")
    assert case_of(judged.prediction, Context(age_years=50)).context == Context(age_years=50, sex="female")
    told = replace(judged, parameters=replace(judged.parameters, context=Context(age_years=50, smoking="never")))
    known = {fact["name"]: (fact["value"], fact["origin"]) for fact in answer(told, "en", "")["guidelines"]["known"]}
    assert known == {"age_years": (50, "context"), "sex": ("female", "dicom"), "smoking": ("never", "context")}


@pytest.mark.parametrize("rating", [1.0, 2.4, 2.6, 3.4, 3.6])
def test_spiculation_by_its_rating(judged: Judgement, rating: float) -> None:
    prediction = changed(judged.prediction, traits=(Trait("spiculation", rating, (1, 5)),))
    (nodule,) = case_of(prediction, Context()).nodules
    assert nodule.spiculated is (None if 2.5 <= rating < 3.5 else rating >= 3.5)


@pytest.mark.parametrize(("height", "upper"), [(0.9, True), (0.5, None), (0.1, False), (None, None)])
def test_the_upper_lobe_is_estimated_by_height(judged: Judgement, height: float | None, upper: bool | None) -> None:
    prediction = changed(judged.prediction, location=Location("left", height))
    assert case_of(prediction, Context()).nodules[0].upper_lobe is upper


def test_only_a_series_with_whole_lungs_was_searched_from_end_to_end(judged: Judgement) -> None:
    prediction = judged.prediction
    assert not case_of(prediction, Context()).whole_lungs
    assert case_of(replace(prediction, series=SERIES), Context()).whole_lungs
    assert not case_of(replace(prediction, series=replace(SERIES, lungs_ml=None)), Context()).whole_lungs
    cut = (QualityNote("partial_lung", "warning", "cut"),)
    assert not case_of(replace(prediction, series=SERIES, quality=cut), Context()).whole_lungs


def test_low_findings_do_not_count_and_those_without_outline_are_left_out(judged: Judgement) -> None:
    low = case_of(changed(judged.prediction, suspicion="low", suspicion_score=0.0), Context())
    assert [nodule.counts for nodule in low.nodules] == [False]
    assert not case_of(changed(judged.prediction, size=None), Context()).nodules


def test_guidelines_are_answered_in_the_order_asked_for_and_otherwise_not(judged: Judgement) -> None:
    written = answer(judged, "en", "")["guidelines"]
    assert [each["name"] for each in written["assessments"]] == list(GUIDELINES)
    assert all(each["source"] for each in written["assessments"])
    silent = replace(judged, parameters=replace(judged.parameters, guidelines=()))
    assert "guidelines" not in answer(silent, "en", "")


def test_position_in_words_of_both_languages(judged: Judgement) -> None:
    prediction = changed(judged.prediction, location=Location("right", 0.9), slice=SliceRef(61, None))
    in_series = replace(judged, prediction=replace(prediction, series=SERIES))
    words = {code: answer(in_series, code, "")["findings"][0]["location"]["display"] for code in ("en", "zh")}
    assert words == {
        "en": "right lung, upper third (estimate), slice 62 of 120",
        "zh": "右肺，上三分之一（估计），第 62 层，共 120 层",
    }
    assert answer(in_series, "en", "")["lungs"] == {
        "volume_ml": 5000.0,
        "below_950_hu_share": 0.0312,
        "kernel": "B30f",
        "slice_thickness_mm": 2.5,
    }


def test_numbers_of_the_size_are_those_of_the_prediction(judged: Judgement) -> None:
    size, written = only(judged.prediction).size, answer(judged, "en", "")["findings"][0]["size"]
    assert size is not None
    assert written is not None
    assert written["mean_diameter_mm"]["value"] == pytest.approx(size.mean_mm.value, abs=0.005)
    assert written["mean_diameter_mm"]["interval"] == pytest.approx((size.mean_mm.low, size.mean_mm.high), abs=0.005)
    assert written["long_axis_mm"] >= written["mean_diameter_mm"]["value"] >= written["short_axis_mm"]
    assert "volume_mm3" not in written


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("age 62", "no object"),
        ("[]", "no object"),
        ('{"age": 62}', "no object"),
        ('{"age_years": "62"}', "age_years"),
        ('{"age_years": 130}', "age_years"),
        ('{"age_years": 62.5}', "age_years"),
        ('{"sex": "m", "smoking": true}', "sex, smoking"),
        ('{"nodules": 0}', "nodules"),
        ("{" * 2000, "no object"),
    ],
)
def test_a_context_that_cannot_be_read_is_named_and_not_repeated(text: str, named: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        parse_context(text)
    assert named in raised.value.found
    assert text not in str(raised.value)


def test_context_and_guidelines_of_slice_and_series() -> None:
    for parse in (parse_parameters, parse_series_parameters):
        given = parse({"guidelines": "mayo,brock,mayo", "context": EXAMPLE})
        assert given.guidelines == ("mayo", "brock")
        assert given.context == Context(age_years=62, sex="male", smoking="former", purpose="screening")
        assert not given.notes
        assert parse({"context": json.dumps({"age_years": None})}).context == Context()
        with pytest.raises(InvalidParameter, match="guidelines"):
            parse({"guidelines": "acr"})
