"""One prediction, every rendering: JSON, SR, key images, SEG, map, picture and FHIR are read back and say the same."""

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
from app.imaging.ct import CTSlice
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
from tests.reports.numbers import Numbers, fhir_numbers, json_numbers, numbers_of, sr_numbers
from tests.reports.written import Make, Written, picture_of

EXACT: Final = 1e-9
DIGITS: Final = 0.005  # of a number with three significant digits: they are 0.5 % of it at most
SNOMED: Final = {"cancer_suspected": "162573006", "normal": "17621005", "indeterminate": "82334004"}

FOR_ALL: Final = pytest.mark.parametrize("make", [slice_report, series_report, empty_report])
DECIDED: Final = pytest.mark.parametrize("decision", DECISIONS)


@dataclass(frozen=True)
class Said:
    """What a rendering says of one finding: probability 0-1, the instance it lies on, its side, and its sizes."""

    probability: float | None
    instance: str | None
    side: str | None
    numbers: Numbers


def expected(report: Report) -> dict[int, Said]:
    uid = report.prediction.source.sop_instance_uid
    return {
        f.id: Said(f.probability, f.slice.sop_instance_uid if f.slice else uid, f.location.side, numbers_of(f))
        for f in report.findings
    }


def near(value: float | None) -> Any:
    """The value to three significant digits; None is None."""
    return None if value is None else pytest.approx(value, rel=DIGITS)


def assert_same(found: dict[int, Said], report: Report) -> None:
    """To three significant digits, as a radiologist would write them."""
    wanted = expected(report)
    assert list(found) == list(wanted)
    for number, said in found.items():
        assert said.probability == near(wanted[number].probability)
        assert (said.instance, said.side) == (wanted[number].instance, wanted[number].side)
        assert said.numbers == pytest.approx(wanted[number].numbers, rel=DIGITS)


def shown(report: Report, number: int) -> bool:
    return any(finding.id == number for finding in report.findings)


@FOR_ALL
@DECIDED
def test_json(make: Make, decision: Decision, bundle: Bundle) -> None:
    report = make(decision, bundle)
    judgement = Judgement(report.image, Parameters(explain=True), report.prediction, bundle, None, None, {})
    said = json.loads(json_answer(judgement, "en", "1"))
    assert said["decision"] == decision
    assert said["probability"] == pytest.approx(report.prediction.probability, abs=EXACT)
    assert [f["id"] for f in said["findings"]] == [f.id for f in report.prediction.findings]
    only = report.prediction.source.sop_instance_uid
    found = {
        f["id"]: Said(
            f["probability"],
            f["slice"]["sop_instance_uid"] if f.get("slice") else only,
            f["location"]["side"],
            json_numbers(f["size"]),
        )
        for f in said["findings"]
        if shown(report, f["id"])
    }
    assert_same(found, report)


@FOR_ALL
@DECIDED
def test_structured_report(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    (instance,) = made["Comprehensive"]
    document = hd.sr.Comprehensive3DSR.from_dataset(instance)
    content: Any = document.content
    whole, *axes = content.get_image_measurement_groups()
    assert whole.finding_type.value == SNOMED.get(decision, "82334004")
    assert sr_probability(whole, decision) == near(report.prediction.probability)
    assert {item.referenced_sop_instance_uid for item in whole.source_images} == {
        s.source.sop_instance_uid for s in report.slices()
    }
    outlines = content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in outlines] == [f"Finding {f.id}" for f in report.findings]
    found = {}
    for finding, group in zip(report.findings, outlines, strict=True):
        (beside,) = [each for each in axes if each.tracking_uid == group.tracking_uid] or [group]
        assert (beside is group) == (finding.size is None)
        assert group.tracking_uid == report.tracking_uid(finding)
        assert_region(group, finding)
        assert_once(group, beside)
        assert_ratings(beside, finding)
        (site,) = group.finding_sites
        side = {"7771000": "left", "24028007": "right"}[site.laterality.value]
        numbers = {} if beside is group else sr_numbers(group) | sr_numbers(beside)
        found[finding.id] = Said(sr_probability(beside, decision), sr_source(group), side, numbers)
    assert_same(found, report)
    referenced = {i.ReferencedSOPInstanceUID for i in evidence_items(instance)}
    assert referenced == {s.sop_instance_uid for s in report.sources}


def assert_once(*groups: Any) -> None:
    """Nothing is said twice, in one group or two."""
    said = [
        item.name.value
        for group in {id(group): group for group in groups}.values()
        for item in (*group.get_measurements(), *group.get_qualitative_evaluations())
    ]
    assert len(said) == len(set(said))


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


def assert_ratings(group: Any, finding: Finding) -> None:
    for trait in finding.traits:
        concept, rating = codes.TRAITS[trait.name], codes.rating_code(trait)
        assert rating is not None
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
def test_key_images(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    objects = made.get("Key", [])
    assert len(objects) == (decision != "rejected" and bool(report.findings))
    if not objects:
        return
    document = hd.ko.KeyObjectSelectionDocument.from_dataset(objects[0])
    content: Any = document.content[0]
    assert content.name.value == codes.OF_INTEREST.value
    selected = [item.referenced_sop_instance_uid for item in document.content.get_references()]
    # The finding that weighs most comes first, and no slice twice.
    assert selected == list(dict.fromkeys(said.instance for said in expected(report).values()))
    assert {i.ReferencedSOPInstanceUID for i in evidence_items(objects[0])} == set(selected)
    source = report.sources[0]
    assert document.resolve_reference(selected[0])[:2] == (source.study_instance_uid, source.series_instance_uid)
    said = {item.name.value: item.value for item in content.ContentSequence}
    assert said["113012"].startswith(f"Lungscope, research software: {len(report.findings)} finding")
    assert said["121012"] == report.device_uid


@FOR_ALL
@DECIDED
def test_segmentation(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    outlined = [f for f in report.findings if len(f.outline_px)]
    objects = made.get("Segmentation", [])
    assert len(objects) == bool(outlined)
    if not objects:
        return
    segmentation: Any = hd.seg.Segmentation.from_dataset(objects[0])
    assert len(segmentation.segment_numbers) == len(outlined)
    rows_mm, columns_mm = report.prediction.spacing_mm
    for number, finding in zip(segmentation.segment_numbers, outlined, strict=True):
        described = segmentation.get_segment_description(number)
        assert described.tracking_id == described.SegmentLabel == f"Finding {finding.id}"
        assert described.tracking_uid == report.tracking_uid(finding)
        assert described.segmented_property_type.value == codes.NODULE.value
        assert described.RecommendedDisplayCIELabValue
        outlines = {o.index: o.points_px for o in finding.outlines} or {0: finding.outline_px}
        instances = [report.sources[index].sop_instance_uid for index in outlines]
        masks = segmentation.get_pixels_by_source_instance(
            instances, segment_numbers=[number], ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )[..., 0]
        for mask, points in zip(masks, outlines.values(), strict=True):
            width_px = np.ptp(points, axis=0)
            area_mm2 = math.pi / 4 * width_px.prod() * rows_mm * columns_mm
            assert 2 * math.sqrt(mask.sum() * rows_mm * columns_mm / math.pi) == pytest.approx(
                2 * math.sqrt(area_mm2 / math.pi), abs=max(report.prediction.spacing_mm) / 2
            )


@FOR_ALL
@DECIDED
def test_evidence_map(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    judged = [f for f in report.findings if f.probability is not None]
    objects = made.get("Parametric", [])
    assert len(objects) == bool(judged)
    if not objects:
        return
    (instance,) = objects
    groups = instance.SharedFunctionalGroupsSequence[0]
    quantity = groups.RealWorldValueMappingSequence[0]
    assert quantity.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130402"
    assert quantity.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    sides = {str(f.location.side)[0].upper() for f in judged}
    assert groups.FrameAnatomySequence[0].FrameLaterality == ("B" if len(sides) > 1 else sides.pop())
    frames = instance.pixel_array.reshape(-1, instance.Rows, instance.Columns)
    assert len(frames) == len({expected(report)[f.id].instance for f in judged})
    for frame, group in zip(frames, instance.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        index = [s.sop_instance_uid for s in report.sources].index(source)
        image = report.image_at(index)
        on_it = [f for f in judged if expected(report)[f.id].instance == source]
        maps = [(f.evidence.values, f.evidence.rectangle_px) for f in on_it]
        whole = spread(maps, image.hu.shape, NEUTRAL_EVIDENCE)
        column, row = first_pixel(group.PlanePositionSequence[0].ImagePositionPatient, image)
        assert np.array_equal(frame, whole[row : row + instance.Rows, column : column + instance.Columns])
        # Nothing but what is neutral was left out.
        assert (whole != NEUTRAL_EVIDENCE).sum() == (frame != NEUTRAL_EVIDENCE).sum() > 0


def first_pixel(position_mm: Any, image: CTSlice) -> tuple[int, int]:
    """(column, row) of a slice, whose rows and columns lie along x and y, at a position."""
    assert image.position_mm is not None
    apart_mm = np.asarray(position_mm, np.float64) - image.position_mm
    column, row = apart_mm[0] / image.spacing_mm[1], apart_mm[1] / image.spacing_mm[0]
    assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-6)
    return round(column), round(row)


@FOR_ALL
@DECIDED
def test_picture(make: Make, decision: Decision, written: Written) -> None:
    report, made = written(make, decision).by_class()
    captures = made["Secondary"]
    shown = report.pictured()
    assert [int(c.InstanceNumber) for c in captures] == list(range(1, len(shown) + 1))
    assert [c.SourceImageSequence[0].ReferencedSOPInstanceUID for c in captures] == [
        s.source.sop_instance_uid for s in shown
    ]
    for capture, on in zip(captures, shown, strict=True):
        pixels = picture_of(capture)
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
    assert fhir_probability(whole, decision) == near(report.prediction.probability)
    found = {}
    for observation, finding in zip(observations, report.findings, strict=True):
        assert observation["identifier"][1]["value"] == f"urn:oid:{report.tracking_uid(finding)}"
        components = {c["code"]["coding"][0]["code"]: c for c in observation["component"]}
        assert len(components) == len(observation["component"])
        instance = components["image"]["valueString"].removeprefix("urn:oid:")
        side = {"7771000": "left", "24028007": "right"}[value_code(components[codes.LATERALITY.value])]
        numbers = fhir_numbers(components)
        found[finding.id] = Said(fhir_probability(observation, decision), instance, side, numbers)
        assert components.get("slice", {}).get("valueInteger") == (finding.slice.index + 1 if finding.slice else None)
        if finding.center_mm is not None:
            centre_mm = [float(at) for at in components[codes.CENTRE.value]["valueString"].split()]
            assert centre_mm == pytest.approx(finding.center_mm, abs=0.051)
        for trait in finding.traits:
            component = components[codes.TRAITS[trait.name].value]
            assert component["valueQuantity"]["value"] == pytest.approx(trait.value, rel=DIGITS)
    assert_same(found, report)
    (study,) = (r for r in resources if r["resourceType"] == "ImagingStudy")
    assert study["identifier"][0]["value"] == f"urn:oid:{report.sources[0].study_instance_uid}"
    assert [i["uid"] for i in study["series"][0]["instance"]] == [s.sop_instance_uid for s in report.sources]


def value_code(component: dict[str, Any]) -> str:
    return str(component["valueCodeableConcept"]["coding"][0]["code"])


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
