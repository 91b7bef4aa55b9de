"""The prediction as a FHIR R4 Bundle; what R4 and R4B share, validated by fhir.resources as it is built."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any, Final
from urllib.parse import urlencode

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.observation import Observation
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from app import __version__
from app.imaging.header import Header
from app.inference.prediction import Finding
from app.reports import codes
from app.reports.fhir_components import OID, body_site, components
from app.reports.fhir_values import Json, coding, coding_of, concept, concept_of, quantity
from app.reports.figures import percent
from app.reports.page_words import PAGE_WORDS
from app.reports.report import DISCLAIMER, MANUFACTURER, Report, standing
from app.reports.summary import decision_words, summary

DICOM_UID: Final = "urn:dicom:uid"
OWN_SYSTEM: Final = "urn:lungscope:result"
DATA_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
DATA_ABSENT_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTION: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
NOT_PERFORMED: Final = ("not-performed", "Not Performed")
UNKNOWN: Final = ("unknown", "Unknown")
NOT_APPLICABLE: Final = ("not-applicable", "Not Applicable")


def write_bundle(report: Report, *, transaction: bool = False, pdf: bytes | None = None) -> Json:
    """DiagnosticReport, an Observation for the whole and one for each finding, ImagingStudy (for a DICOM source) and
    Device, as JSON values. `pdf` is the case report for people, where it is wanted in the DiagnosticReport.

    A `collection`, or a `transaction` that a server may be sent any number of times. References are the entries' own
    `urn:uuid` addresses.
    """
    addresses = _Addresses(report)
    observations = [
        _whole(report, addresses),
        *(_observation(report, f, addresses) for f in report.findings),
    ]
    resources = [_report(report, addresses, pdf), *observations, _device(report, addresses)]
    if addresses.study is not None:
        resources.append(_study(report, addresses))
    entries = [_entry(resource, transaction=transaction) for resource in resources]
    bundle: Json = {
        "resourceType": "Bundle",
        "type": "transaction" if transaction else "collection",
        "entry": entries,
    }
    if not report.deidentified:
        bundle["timestamp"] = _instant(report)
    if not transaction:
        bundle["identifier"] = _own_identifier(report, "bundle")
    return _json(Bundle, bundle)


class _Addresses:
    """What the resources of one bundle are called."""

    def __init__(self, report: Report) -> None:
        self.report = _urn(report, "report")
        self.device = _urn(report, "device")
        self.study = _urn(report, "study") if report.sources[0].study_instance_uid else None
        self.whole = _urn(report, "whole")
        self.findings = {finding.id: _urn(report, "finding", finding.id) for finding in report.findings}


def _report(report: Report, addresses: _Addresses, pdf: bytes | None) -> Json:
    prediction = report.prediction
    resource = {
        "resourceType": "DiagnosticReport",
        "id": _id(addresses.report),
        "identifier": [_own_identifier(report, "report")],
        "status": "preliminary",
        "category": [concept_of(SECTION, "RAD", "Radiology")],
        "code": concept(codes.CT_CHEST),
        "subject": _subject(report),
        **_effective(report),
        **_issued(report),
        "result": [{"reference": address} for address in (addresses.whole, *addresses.findings.values())],
        "conclusion": " ".join(summary(report)),
        "conclusionCode": [concept(codes.decision_code(prediction.decision, report.bundle.manifest))],
    }
    if addresses.study is not None:
        resource["imagingStudy"] = [{"reference": addresses.study}]
    if pdf is not None:
        resource["presentedForm"] = [_attachment(report, pdf)]
    return _json(DiagnosticReport, resource)


def _attachment(report: Report, pdf: bytes) -> Json:
    """The case report for people; it names no patient."""
    created = {} if report.deidentified else {"creation": _instant(report)}
    return {
        "contentType": "application/pdf",
        "language": report.language,
        "data": b64encode(pdf).decode("ascii"),
        "size": len(pdf),
        "title": PAGE_WORDS["title"][report.language],
        **created,
    }


def _whole(report: Report, addresses: _Addresses) -> Json:
    """The probability of cancer in what was sent."""
    resource = _imaging_observation(report, addresses.whole, "whole", addresses)
    code = codes.decision_code(report.prediction.decision, report.bundle.manifest)
    notes = [
        decision_words(report),
        *(f"{note.code}: {note.message}" for note in report.notes if note.severity != "info"),
    ]
    left_open = _give_probability(resource, report, report.prediction.probability, whole=True)
    if left_open:
        resource["component"] = left_open
    resource["interpretation"] = [concept(code)]
    resource["note"] = [{"text": note} for note in notes]
    return _json(Observation, resource)


def _observation(report: Report, finding: Finding, addresses: _Addresses) -> Json:
    resource = _imaging_observation(report, addresses.findings[finding.id], f"finding-{finding.id}", addresses)
    resource["identifier"].append({"system": DICOM_UID, "value": f"{OID}{report.tracking_uid(finding)}"})
    resource["bodySite"] = body_site(finding)
    left_open = _give_probability(resource, report, finding.probability)
    resource["component"] = [*left_open, *components(report, finding)]
    if not resource["component"]:
        del resource["component"]
    if (counts := standing(finding)) is not None:
        resource["note"] = [{"text": counts}]
    return _json(Observation, resource)


def _imaging_observation(report: Report, address: str, name: str, addresses: _Addresses) -> Json:
    resource = {
        "resourceType": "Observation",
        "id": _id(address),
        "identifier": [_own_identifier(report, name)],
        "status": "preliminary",
        "category": [concept_of(CATEGORY, "imaging", "Imaging")],
        "code": concept(codes.PROBABILITY),
        "subject": _subject(report),
        **_effective(report),
        **_issued(report),
        "bodySite": concept(codes.LUNG),
        "device": {"reference": addresses.device},
    }
    if addresses.study is not None:
        resource["derivedFrom"] = [{"reference": addresses.study}]
    return resource


def _give_probability(resource: Json, report: Report, probability: float | None, *, whole: bool = False) -> list[Json]:
    """The probability as the value; where the answer abstains there is no value but the reason why, and a probability
    that was left open is the one component returned (obs-6 and obs-7 permit it there)."""
    decision = report.prediction.decision
    if probability is not None and decision in ("cancer_suspected", "normal"):
        resource["valueQuantity"] = quantity(percent(probability), codes.PERCENT)
        return []
    resource["dataAbsentReason"] = {
        "coding": _absence(report, probability, whole=whole),
        "text": decision_words(report),
    }
    if probability is None or decision == "rejected":
        return []
    return [{"code": concept(codes.PROBABILITY), "valueQuantity": quantity(percent(probability), codes.PERCENT)}]


def _absence(report: Report, probability: float | None, *, whole: bool) -> list[Json]:
    """Why there is no value: a scan in which nothing counts has no probability and needs none."""
    decision = report.prediction.decision
    if whole and probability is None and decision == "normal":
        return [coding_of(DATA_ABSENT, *NOT_APPLICABLE)]
    if whole and decision == "cancer_suspected":
        return [coding_of(DATA_ABSENT, *NOT_PERFORMED)]
    open_ = decision == "indeterminate" and (whole or probability is not None)
    return [coding_of(DATA_ABSENT, *(UNKNOWN if open_ else NOT_PERFORMED)), coding(codes.INDETERMINATE)]


def _device(report: Report, addresses: _Addresses) -> Json:
    manifest = report.bundle.manifest
    versions = {"software": __version__, "model": str(manifest.version), "digest": report.bundle.digest}
    versions |= {f"{name.replace('_', ' ')} digest": digest for name, digest in report.searched.items()}
    return _json(
        Device,
        {
            "resourceType": "Device",
            "id": _id(addresses.device),
            "identifier": [{"system": DICOM_UID, "value": f"{OID}{report.device_uid}"}],
            "status": "active",
            "manufacturer": MANUFACTURER,
            "deviceName": [{"name": f"{MANUFACTURER} {manifest.name}", "type": "model-name"}],
            "type": concept(codes.ARTIFICIAL_INTELLIGENCE),
            "version": [{"type": {"text": name}, "value": value} for name, value in versions.items()],
            "note": [{"text": DISCLAIMER}],
        },
    )


def _study(report: Report, addresses: _Addresses) -> Json:
    source, header = report.sources[0], _header(report)
    instances = {s.sop_instance_uid: s.sop_class_uid or CTImageStorage for s in report.sources if s.sop_instance_uid}
    series: Json = {
        "uid": source.series_instance_uid,
        "modality": {"system": codes.FHIR_SYSTEMS["DCM"], "code": "CT"},
        "numberOfInstances": len(instances),
        "instance": [
            {"uid": uid, "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"{OID}{sop_class}"}}
            for uid, sop_class in instances.items()
        ],
    }
    resource: Json = {
        "resourceType": "ImagingStudy",
        "id": _id(addresses.study or ""),
        "identifier": [{"system": DICOM_UID, "value": f"{OID}{source.study_instance_uid}"}],
        "status": "available",
        "subject": _subject(report),
        "series": [series] if source.series_instance_uid else [],
    }
    if (accession := _string(header, "AccessionNumber")) is not None:
        kind = concept_of("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN", "Accession ID")
        resource["identifier"].append({"type": kind, **_in_system(report.options.accession_system), "value": accession})
    return _json(ImagingStudy, {name: value for name, value in resource.items() if value})


def _subject(report: Report) -> Json:
    """The patient by the identifier in the image; said to be unknown where it has none."""
    header = _header(report)
    identifier = _string(header, "PatientID")
    if identifier is None:
        return {"type": "Patient", "extension": [{"url": DATA_ABSENT_EXTENSION, "valueCode": "unknown"}]}
    issuer = _string(header, "IssuerOfPatientID")
    assigner = {"assigner": {"display": issuer}} if issuer else {}
    system = _in_system(report.options.patient_system)
    return {"type": "Patient", "identifier": {**system, "value": identifier, **assigner}}


def _in_system(system: str | None) -> Json:
    return {} if system is None else {"system": system}


def _effective(report: Report) -> Json:
    """When the image was taken, to the day: its time of day has no time zone."""
    header = _header(report)
    for keyword in ("AcquisitionDate", "ContentDate", "StudyDate"):
        text = header.text(keyword)
        if text is not None:
            return {"effectiveDateTime": f"{text[:4]}-{text[4:6]}-{text[6:]}"}
    return {}


def _string(header: Header, keyword: str) -> str | None:
    """Text with no other white space than R4's strings may hold: an ideographic space is none of it."""
    text = header.text(keyword)
    return None if text is None else re.sub(r"\s", " ", text)


def _header(report: Report) -> Header:
    return Header(report.source_headers[0].dataset if report.headers else Dataset())


def _entry(resource: Json, *, transaction: bool) -> Json:
    entry: Json = {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
    if transaction:
        entry["request"] = _request(resource)
        del resource["id"]  # the server's to give; what it is called here is its fullUrl
    return entry


def _request(resource: Json) -> Json:
    """Our own results are put under their identifier; study and device are made only where the server has none."""
    first = resource["identifier"][0]
    kind, search = resource["resourceType"], urlencode({"identifier": f"{first['system']}|{first['value']}"})
    if kind in ("ImagingStudy", "Device"):
        return {"method": "POST", "url": kind, "ifNoneExist": search}
    return {"method": "PUT", "url": f"{kind}?{search}"}


def _own_identifier(report: Report, name: str) -> Json:
    return {"system": OWN_SYSTEM, "value": str(report.resource_id(name))}


def _urn(report: Report, *parts: object) -> str:
    return f"urn:uuid:{report.resource_id('address', *parts)}"


def _id(urn: str) -> str:
    return urn.removeprefix("urn:uuid:")


def _issued(report: Report) -> Json:
    return {} if report.deidentified else {"issued": _instant(report)}


def _instant(report: Report) -> str:
    return report.written.isoformat(timespec="seconds")


def _json(model: type[Any], resource: Json) -> Json:
    """The resource as JSON values, after fhir.resources has checked it."""
    model.model_validate(resource)
    return resource
