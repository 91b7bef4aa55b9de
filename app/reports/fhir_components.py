"""What FHIR says of a finding beside its probability: components of its Observation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.sr.coding import Code

from app.inference.finding_words import THIRD_WORDS, place_words
from app.inference.prediction import Finding, Measured, Size, Trait
from app.reports import codes
from app.reports.fhir_values import Json, coding, concept, quantity
from app.reports.figures import significant
from app.reports.report import Report

OID: Final = "urn:oid:"


def components(report: Report, finding: Finding) -> Iterator[Json]:
    """Side, lobe, centre and slice; axes, sizes and density; the ratings."""
    yield from _place(report, finding)
    if finding.size is not None:
        yield from _sizes(finding.size)
    yield from (component for trait in finding.traits if (component := _trait(trait)) is not None)


def body_site(finding: Finding) -> Json:
    """The lung, or the lobe that the height makes likely, with the words for it."""
    return {"coding": [coding(codes.site_code(finding.location))], "text": place_words(finding, "en")}


def _place(report: Report, finding: Finding) -> Iterator[Json]:
    place = finding.location
    if place.side is not None:
        yield {"code": concept(codes.LATERALITY), "valueCodeableConcept": concept(codes.SIDES[place.side])}
    if place.third is not None:
        lobe = {
            "coding": [coding(codes.site_code(place)), coding(codes.ESTIMATE)],
            "text": THIRD_WORDS[place.third]["en"],
        }
        yield {"code": concept(codes.FINDING_SITE), "valueCodeableConcept": lobe}
    if finding.center_mm is not None:
        words = " ".join(f"{at_mm:.1f}" for at_mm in finding.center_mm)
        code = concept(codes.CENTRE) | {"text": "Center: x y z in mm, patient coordinates"}
        yield {"code": code, "valueString": words}
    if finding.slice is not None:
        yield {"code": concept(codes.SLICE), "valueInteger": finding.slice.index + 1}
    source = report.image_at(report.index_of(finding)).source
    if source.sop_instance_uid is not None:
        frame = "" if source.frame is None else f"#{source.frame}"
        yield {"code": concept(codes.IMAGE), "valueString": f"{OID}{source.sop_instance_uid}{frame}"}


def _sizes(size: Size) -> Iterator[Json]:
    yield _measured(codes.LONG_AXIS, size.axes.long_mm, codes.MILLIMETRE)
    yield _measured(codes.SHORT_AXIS, size.axes.short_mm, codes.MILLIMETRE)
    yield from _with_interval(codes.DIAMETER, codes.DIAMETER_INTERVAL, size.mean_mm, codes.MILLIMETRE)
    yield _measured(codes.AREA, size.area_mm2, codes.SQUARE_MILLIMETRE)
    if size.volume_mm3 is not None:
        yield from _with_interval(codes.VOLUME, codes.VOLUME_INTERVAL, size.volume_mm3, codes.CUBIC_MILLIMETRE)
    density = codes.ATTENUATIONS[size.attenuation.classes[0]]
    yield {"code": concept(codes.ATTENUATION_CLASS), "valueCodeableConcept": concept(density)}
    yield _measured(codes.MEDIAN_ATTENUATION, size.attenuation.median_hu, codes.HOUNSFIELD)
    if size.attenuation.solid_mm is not None:
        solid_mm = size.attenuation.solid_mm
        yield from _with_interval(codes.SOLID_PART, codes.SOLID_PART_INTERVAL, solid_mm, codes.MILLIMETRE)


def _measured(code: Code, value: float, unit: Code) -> Json:
    return {"code": concept(code), "valueQuantity": quantity(significant(value), unit)}


def _with_interval(code: Code, of_interval: Code, measured: Measured, unit: Code) -> Iterator[Json]:
    yield _measured(code, measured.value, unit)
    low, high = (quantity(significant(end), unit) for end in (measured.low, measured.high))
    yield {"code": concept(of_interval), "valueRange": {"low": low, "high": high}}


def _trait(trait: Trait) -> Json | None:
    name, rating = codes.TRAITS.get(trait.name), codes.rating_code(trait)
    if name is None or rating is None:
        return None
    value = quantity(significant(trait.value), codes.NO_UNITS)
    return {"code": concept(name), "valueQuantity": value, "interpretation": [concept(rating)]}
