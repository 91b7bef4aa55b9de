"""The answer in JSON says what was judged: each number under its name, in its order and rounded."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from app.imaging.ct import QualityNote
from app.inference.prediction import Finding
from app.judgement.answers import answer, json_answer
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import Parameters, parse_parameters
from phantoms.series import NODULE, slice_file
from tests.api.conftest import STATED, png
from tests.inference.slices import chest

REMARK = QualityNote("parameter_ignored", "warning", "of the request")


@pytest.fixture
def judged(judge: Judge) -> Judgement:
    """A slice with one nodule, pointed at."""
    return judge.slice(slice_file(8), parse_parameters({"roi": ",".join(map(str, NODULE.centre_px))}))


def with_finding(judged: Judgement, finding: Finding) -> Judgement:
    return replace(judged, prediction=replace(judged.prediction, findings=(finding,)))


def test_remarks_on_the_request_stand_before_those_on_the_image(judged: Judgement) -> None:
    prediction = replace(judged.prediction, quality=(QualityNote("of_the_image", "info", "of the image"),))
    remarked = replace(judged, prediction=prediction, parameters=replace(judged.parameters, notes=(REMARK,)))
    assert [note["code"] for note in answer(remarked, "en", "")["quality"]] == ["parameter_ignored", "of_the_image"]


def test_each_probability_is_under_its_own_name(judged: Judgement) -> None:
    (finding,) = judged.prediction.findings
    other = replace(finding, probability=0.25, nodule_probability=0.75, detector_score=1.23456, diameter_mm=12.3456)
    (written,) = answer(with_finding(judged, other), "en", "")["findings"]
    assert (written["probability"], written["nodule_probability"]) == (0.25, 0.75)
    assert (written["detector_score"], written["diameter_mm"]) == (1.235, 12.35)


def test_milliseconds_are_rounded(judged: Judgement) -> None:
    timed = replace(judged, timing_ms={"decode": 1.23456, "total": 6.789})
    assert answer(timed, "en", "")["timing_ms"] == {"decode": 1.23, "total": 6.79}


def test_what_is_no_number_is_null_in_json(judged: Judgement) -> None:
    timed = replace(judged, timing_ms={"decode": math.nan, "total": math.inf})
    assert json.loads(json_answer(timed, "en", ""), parse_constant=pytest.fail)["timing_ms"] == {
        "decode": None,
        "total": None,
    }


def test_evidence_is_of_judged_findings_and_its_shape_is_rows_and_columns(judged: Judgement) -> None:
    (finding,) = judged.prediction.findings
    wide = replace(finding, evidence=replace(finding.evidence, values=np.zeros((2, 3), np.float32)))
    explained = replace(judged, parameters=replace(judged.parameters, explain=True))
    (written,) = answer(with_finding(explained, wide), "en", "")["findings"]
    assert (written["evidence"]["shape"], written["evidence"]["values"]) == ((2, 3), [[0, 0, 0]] * 2)
    (unjudged,) = answer(with_finding(explained, replace(wide, probability=None)), "en", "")["findings"]
    assert "evidence" not in unjudged


def test_rows_come_before_columns(judge: Judge) -> None:
    given = parse_parameters(STATED | {"pixel_spacing_mm": "1.2,1.4"})
    source = answer(judge.slice(png(chest().hu[20:236]), given), "en", "")["source"]
    assert (source["rows"], source["columns"], source["pixel_spacing_mm"]) == (216, 256, (1.2, 1.4))


def test_each_model_has_its_own_name_version_and_digest(judge: Judge) -> None:
    written = answer(judge.slice(slice_file(8), Parameters()), "en", "an id")
    bundle, detector, second_look = judge.registry.bundles
    assert written["model"] == {"name": "nodule-classifier", "version": "1", "digest": bundle.digest}
    assert written["detector"] == {"name": "nodule-detector", "version": "1", "digest": detector.digest}
    assert written["second_look"] == {"name": "nodule-suspicion", "version": "1", "digest": second_look.digest}
    assert written["request_id"] == "an id"


def test_every_word_is_in_the_language(judged: Judgement) -> None:
    for language, asciis in (("en", True), ("zh", False)):
        written = answer(judged, language, "")  # type: ignore[arg-type]  # both are languages
        words = [written["display"], *(trait["display"] for trait in written["findings"][0]["traits"].values())]
        assert {word.isascii() for word in words} == {asciis}
