"""One prediction, every rendering: JSON, SR, SEG, parametric map, picture and FHIR are read back and say the same."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.explain.canvas import draw_text, text_size, text_width, wrapped
from app.explain.figures import percent
from app.explain.legend import ALONE, BESIDE, LARGE, MARGIN_PX, finding_line, headline
from app.explain.marks import colour_of, is_faint
from app.explain.palette import OUTLINE, Colour
from app.imaging.raster import spread
from app.inference.bundle import Bundle
from app.inference.prediction import NEUTRAL_EVIDENCE, Finding
from app.inference.vocabulary import DECISION_WORDS, Decision
from app.judgement.answers import json_answer
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters
from app.reports import codes
from app.reports.fhir import write_bundle
from app.reports.report import Report
from tests.reports.cases import DECISIONS, empty_report, series_report, slice_report
from tests.reports.written import Make, Written

EXACT: Final = 1e-9
SNOMED: Final = {"cancer_suspected": "162573006", "normal": "17621005", "indeterminate": "82334004"}

FOR_ALL: Final = pytest.mark.parametrize("make", [slice_report, series_report, empty_report])
DECIDED: Final = pytest.mark.parametrize("decision", DECISIONS)


@dataclass(frozen=True)
class Said:
    """What a rendering says of one finding: probability 0-1, diameter in mm, the instance it lies on."""

    probability: float | None
    diameter_mm: float | None
    instance: str | None


def expected(report: Report) -> dict[int, Said]:
    uid = report.prediction.source.sop_instance_uid
    return {
        f.id: Said(f.probability, f.diameter_mm, f.slice.sop_instance_uid if f.slice else uid)
        for f in report.prediction.findings
    }


def assert_same(found: dict[int, Said], report: Report, tolerance: float = EXACT) -> None:
    wanted = expected(report)
    assert set(found) == set(wanted)
    for number, said in found.items():
        assert said.probability == pytest.approx(wanted[number].probability, abs=tolerance)
        assert said.diameter_mm == pytest.approx(wanted[number].diameter_mm, abs=tolerance)
        assert said.instance == wanted[number].instance


@FOR_ALL
@DECIDED
def test_json(make: Make, decision: Decision, bundle: Bundle) -> None:
    report = make(decision, bundle)
    judgement = Judgement(report.image, Parameters(explain=True), report.prediction, bundle, None, None, {})
    said = json.loads(json_answer(judgement, "en", "1"))
    assert said["decision"] == decision
    assert said["probability"] == pytest.approx(report.prediction.probability, abs=EXACT)
    only = report.prediction.source.sop_instance_uid
    found = {
        f["id"]: Said(f["probability"], f["diameter_mm"], f["slice"]["sop_instance_uid"] if f.get("slice") else only)
        for f in said["findings"]
    }
    assert_same(found, report, tolerance=0.005)


@FOR_ALL
@DECIDED
def test_structured_report(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    (instance,) = made["Comprehensive"]
    document = hd.sr.Comprehensive3DSR.from_dataset(instance)
    content: Any = document.content
    (whole,) = content.get_image_measurement_groups()
    assert whole.finding_type.value == SNOMED.get(decision, "82334004")
    assert sr_probability(whole, decision) == pytest.approx(report.prediction.probability, abs=EXACT)
    assert {item.referenced_sop_instance_uid for item in whole.source_images} == {
        s.source.sop_instance_uid for s in report.slices()
    }
    comments = [i.TextValue for i in whole[0].ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "121106"]
    assert DECISION_WORDS[decision]["en"] in comments[0]
    assert all(reason in comments[0] for reason in report.prediction.reasons)
    assert "Research use only" in comments[1]
    found = {}
    for group in content.get_planar_roi_measurement_groups():
        number = int(group.tracking_identifier.removeprefix("Finding "))
        found[number] = Said(sr_probability(group, decision), sr_number(group, codes.DIAMETER), sr_source(group))
        assert group.tracking_uid == report.tracking_uid(finding_of(report, number))
        assert_region(group, finding_of(report, number))
        assert_traits(group, finding_of(report, number))
    assert_same(found, report)
    referenced = {i.ReferencedSOPInstanceUID for i in evidence_items(instance)}
    assert referenced == {s.sop_instance_uid for s in report.sources}


def finding_of(report: Report, number: int) -> Finding:
    return next(f for f in report.prediction.findings if f.id == number)


def sr_number(group: Any, concept: Any) -> float | None:
    measured = [m for m in group.get_measurements() if m.name.value == concept.value]
    return measured[0].value if measured else None


def sr_probability(group: Any, decision: Decision) -> float | None:
    """In 0-1; a number or the code for none, never both, and what was left open is marked."""
    measured = [m for m in group.get_measurements() if m.name.value == "111047"]
    instead = [e.value.value for e in group.get_qualitative_evaluations() if e.name.value == "111047"]
    if not measured:
        assert instead == ["114007"]
        return None
    assert not instead
    (probability,) = measured
    assert probability.unit.value == "%"
    assert (probability.qualifier.value if probability.qualifier else None) == (
        "114011" if decision == "indeterminate" else None
    )
    return float(probability.value) / 100


def sr_source(group: Any) -> str:
    uids = {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in images_in(group[0])}
    assert len(uids) == 1
    return uids.pop()


def images_in(item: Dataset) -> list[Dataset]:
    own = [item] if item.get("ValueType") == "IMAGE" else []
    return own + [found for child in item.get("ContentSequence", ()) for found in images_in(child)]


def assert_region(group: Any, finding: Finding) -> None:
    """SCOORD counts from the corner of the first pixel, a finding from its centre."""
    region = group.roi
    if not len(finding.outline_px):
        assert region.graphic_type.value == "POINT"
        assert region.value[0] - 0.5 == pytest.approx(finding.center_px, abs=1e-3)
        return
    assert region.graphic_type.value == "POLYLINE"
    assert region.value[0] == pytest.approx(region.value[-1])
    assert region.value[:-1] - 0.5 == pytest.approx(finding.outline_px, abs=1e-3)


def assert_traits(group: Any, finding: Finding) -> None:
    for trait in finding.traits:
        concept, rating = codes.TRAITS[trait.name], codes.rating_code(trait)
        assert rating is not None
        assert sr_number(group, concept) == pytest.approx(trait.value, abs=EXACT)
        words = [e.value.value for e in group.get_qualitative_evaluations() if e.name.value == concept.value]
        assert words == [rating.value]


def evidence_items(instance: Dataset) -> list[Dataset]:
    keywords = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
    return [
        sop
        for keyword in keywords
        for study in instance.get(keyword, ())
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    ]


@FOR_ALL
@DECIDED
def test_segmentation(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    outlined = [f for f in report.prediction.findings if len(f.outline_px)]
    objects = made.get("Segmentation", [])
    assert len(objects) == bool(outlined)
    if not objects:
        return
    segmentation: Any = hd.seg.Segmentation.from_dataset(objects[0])
    found = {}
    for number in segmentation.segment_numbers:
        described = segmentation.get_segment_description(number)
        finding = finding_of(report, int(described.tracking_id.removeprefix("Finding ")))
        assert described.tracking_uid == report.tracking_uid(finding)
        assert described.segmented_property_type.value == codes.NODULE.value
        instance = expected(report)[finding.id].instance
        mask = segmentation.get_pixels_by_source_instance([instance], segment_numbers=[number])[0, ..., 0]
        rows_mm, columns_mm = report.prediction.spacing_mm
        diameter_mm = 2 * math.sqrt(mask.sum() * rows_mm * columns_mm / math.pi)
        found[finding.id] = Said(finding.probability, diameter_mm, instance)
    wanted = expected(report)
    assert set(found) == {f.id for f in outlined}
    for number, said in found.items():
        assert said.diameter_mm == pytest.approx(wanted[number].diameter_mm, abs=max(report.prediction.spacing_mm) / 2)


@FOR_ALL
@DECIDED
def test_evidence_map(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    judged = [f for f in report.prediction.findings if f.probability is not None]
    objects = made.get("Parametric", [])
    assert len(objects) == bool(judged)
    if not objects:
        return
    (instance,) = objects
    quantity = instance.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert quantity.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130402"
    assert quantity.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    frames = instance.pixel_array.reshape(-1, instance.Rows, instance.Columns)
    assert len(frames) == len({expected(report)[f.id].instance for f in judged})
    for frame, group in zip(frames, instance.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        on_it = [f for f in judged if expected(report)[f.id].instance == source]
        maps = [(f.evidence.values, f.evidence.rectangle_px) for f in on_it]
        assert np.array_equal(frame, spread(maps, frame.shape, NEUTRAL_EVIDENCE))
        assert (frame != NEUTRAL_EVIDENCE).any()


@FOR_ALL
@DECIDED
def test_picture(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    captures = made["Secondary"]
    shown = report.slices()
    assert [c.SourceImageSequence[0].ReferencedSOPInstanceUID for c in captures] == [
        s.source.sop_instance_uid for s in shown
    ]
    for capture, on in zip(captures, shown, strict=True):
        pixels = capture.pixel_array
        assert_written(pixels, report, on.findings)
        factor = pixels.shape[1] // on.image.hu.shape[1]
        assert capture.PixelSpacing == pytest.approx([s / factor for s in on.image.spacing_mm])


def assert_written(pixels: NDArray[np.uint8], report: Report, findings: Sequence[Finding]) -> None:
    """The words below the slice: the first finding's probability in the largest type, beside it the decision; the
    decision alone where nothing was found that counts."""
    prediction, size, room = report.prediction, text_size(pixels), pixels.shape[1] - 2 * MARGIN_PX
    own = findings[0] if findings else None
    alone = own is None or own.probability is None or (prediction.decision == "normal" and is_faint(own))
    beside = room
    if own is not None and own.probability is not None and not alone:
        first = f"Finding {own.id}: {percent(own.probability)}"
        assert is_written(pixels, first, LARGE, colour_of(own))
        beside = room - math.ceil(text_width(first, round(LARGE * size))) - 2 * MARGIN_PX
    relative = ALONE if alone else BESIDE
    for line in wrapped(headline(prediction, "en"), round(relative * size), beside):
        assert is_written(pixels, line, relative)
    for finding in findings:
        for line in wrapped(finding_line(finding, prediction, "en"), size, room):
            assert is_written(pixels, line, 1.0, colour_of(finding))
    assert is_written(pixels, "Research use only. Not a medical device.", 1.0)
    assert not is_written(pixels, "Finding 1: 55 %", LARGE)


def is_written(pixels: NDArray[np.uint8], words: str, relative_size: float, colour: Colour = OUTLINE) -> bool:
    """Whether exactly these words stand on black somewhere in the picture."""
    size = round(relative_size * text_size(pixels))
    template = np.zeros((round(1.2 * size), math.ceil(text_width(words, size)), 3), np.uint8)
    draw_text(template, words, (0, 0), size, colour, cased=False)
    return float(cv2.matchTemplate(pixels, template, cv2.TM_SQDIFF_NORMED).min()) < 1e-6


@FOR_ALL
@DECIDED
def test_fhir(make: Make, decision: Decision, bundle: Bundle) -> None:
    report = make(decision, bundle)
    resources = [entry["resource"] for entry in write_bundle(report)["entry"]]
    (diagnostic,) = (r for r in resources if r["resourceType"] == "DiagnosticReport")
    (coding,) = diagnostic["conclusionCode"][0]["coding"]
    assert coding["code"] == SNOMED.get(decision, "82334004")
    assert DECISION_WORDS[decision]["en"] in diagnostic["conclusion"]
    assert all(reason in diagnostic["conclusion"] for reason in report.prediction.reasons)
    whole, *observations = (r for r in resources if r["resourceType"] == "Observation")
    assert fhir_probability(whole, decision) == pytest.approx(report.prediction.probability, abs=EXACT)
    for observation, finding in zip(observations, report.prediction.findings, strict=True):
        assert observation["identifier"][1]["value"] == f"urn:oid:{report.tracking_uid(finding)}"
        assert fhir_probability(observation, decision) == pytest.approx(finding.probability, abs=EXACT)
        components = {c["code"]["coding"][0]["code"]: c for c in observation.get("component", ())}
        diameter = components.get(codes.DIAMETER.value, {}).get("valueQuantity", {}).get("value")
        assert diameter == pytest.approx(finding.diameter_mm, abs=EXACT)
        for trait in finding.traits:
            component = components[codes.TRAITS[trait.name].value]
            assert component["valueQuantity"]["value"] == pytest.approx(trait.value, abs=EXACT)
    (study,) = (r for r in resources if r["resourceType"] == "ImagingStudy")
    assert study["identifier"][0]["value"] == f"urn:oid:{report.sources[0].study_instance_uid}"
    assert [i["uid"] for i in study["series"][0]["instance"]] == [s.sop_instance_uid for s in report.sources]


def fhir_probability(observation: dict[str, Any], decision: Decision) -> float | None:
    """In 0-1. An abstention never has a value: it says why, and what was left open stands in a component."""
    if "valueQuantity" in observation:
        assert decision in ("cancer_suspected", "normal")
        assert "dataAbsentReason" not in observation
        return float(observation["valueQuantity"]["value"]) / 100
    absent, *indeterminate = observation["dataAbsentReason"]["coding"]
    instead = [c for c in observation.get("component", ()) if c["code"]["coding"][0]["code"] == "111047"]
    if "interpretation" in observation:  # of the whole
        wanted = {"normal": "not-applicable", "indeterminate": "unknown"}.get(decision, "not-performed")
        assert [code["code"] for code in indeterminate] == (
            ["82334004"] if decision in ("indeterminate", "rejected") else []
        )
    else:
        wanted = "unknown" if instead else "not-performed"
        assert [code["code"] for code in indeterminate] == ["82334004"]
    assert absent["code"] == wanted
    return float(instead[0]["valueQuantity"]["value"]) / 100 if instead else None
