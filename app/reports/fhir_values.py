"""FHIR R4 data types as JSON values."""

from __future__ import annotations

from typing import Any

from pydicom.sr.coding import Code

from app.reports import codes

Json = dict[str, Any]


def concept(code: Code) -> Json:
    """A CodeableConcept of one code."""
    return {"coding": [coding(code)]}


def concept_of(system: str, code: str, display: str) -> Json:
    """A CodeableConcept of one code of a FHIR system."""
    return {"coding": [coding_of(system, code, display)]}


def coding(code: Code) -> Json:
    """A Coding."""
    return coding_of(codes.FHIR_SYSTEMS[code.scheme_designator], code.value, code.meaning)


def coding_of(system: str, code: str, display: str) -> Json:
    """A Coding of a FHIR system."""
    return {"system": system, "code": code, "display": display}


def quantity(value: float, unit: Code) -> Json:
    """A Quantity in a unit of UCUM."""
    return {"value": value, "unit": unit.value, "system": codes.FHIR_SYSTEMS["UCUM"], "code": unit.value}
