"""The FHIR resources that stand beside a report: observations, device and study, what R4 and R4B share, validated by
fhir.resources as they are built."""

from __future__ import annotations

import re
from typing import Any, Final

from fhir.resources.R4B.device import Device
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
from app.reports.report import DISCLAIMER, MANUFACTURER, Report, standing
from app.reports.summary import decision_words

DICOM_UID: Final = "urn:dicom:uid"
OWN_SYSTEM: Final = "urn:lungscope:result"
DATA_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
DATA_ABSENT_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTION: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
NOT_PERFORMED: Final = ("not-performed", "Not Performed")
UNKNOWN: Final = ("unknown", "Unknown")
NOT_APPLICABLE: Final = ("not-applicable", "Not Applicable")


class Addresses:
    """What the resources of one bundle are called; `among` tells those of two reports in one bundle apart."""

    def __init__(self, report: Report, *among: object) -> None:
        self._report, self.among = report, among
        self.report = self.of("report")
        self.device = self.of("device")
        self.study = self.of("study") if report.sources[0].study_instance_uid else None
        self.whole = self.of("whole")
        self.findings = {finding.id: self.of("finding", finding.id) for finding in report.findings}

    def of(self, *parts: object) -> str:
        """The address of any other resource."""
        return f"urn:uuid:{self._report.resource_id('address', *self.among, *parts)}"


def whole_observation(report: Report, addresses: Addresses) -> Json:
    """The probability of cancer in what was sent."""
    resource = imaging_observation(report, addresses.whole, "whole", addresses)
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
    return checked(Observation, resource)


def finding_observation(report: Report, finding: Finding, addresses: Addresses) -> Json:
    """The probability of one finding, with what was measured of it as components."""
    resource = imaging_observation(report, addresses.findings[finding.id], f"finding-{finding.id}", addresses)
    uids = dict.fromkeys((report.tracking_uid(finding), report.own_tracking_uid(finding)))
    resource["identifier"] += [dicom_identifier(uid) for uid in uids]
    resource["bodySite"] = body_site(finding)
    left_open = _give_probability(resource, report, finding.probability)
    resource["component"] = [*left_open, *components(report, finding)]
    if not resource["component"]:
        del resource["component"]
    if (counts := standing(finding)) is not None:
        resource["note"] = [{"text": counts}]
    return checked(Observation, resource)


def imaging_observation(report: Report, address: str, name: str, addresses: Addresses) -> Json:
    """What all observations of a report have, unchecked; `name` tells them apart in its identifiers."""
    resource = {
        "resourceType": "Observation",
        "id": bare_id(address),
        "identifier": [own_identifier(report, name)],
        "status": "preliminary",
        "category": [concept_of(CATEGORY, "imaging", "Imaging")],
        "code": concept(codes.PROBABILITY),
        "subject": subject(report),
        **effective(report),
        **issued(report),
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


def device(report: Report, addresses: Addresses) -> Json:
    """The software, with the version of each model by its digest."""
    manifest = report.bundle.manifest
    versions = {"software": __version__, "model": str(manifest.version), "digest": report.bundle.digest}
    versions |= {f"{name.replace('_', ' ')} digest": digest for name, digest in report.searched.items()}
    return checked(
        Device,
        {
            "resourceType": "Device",
            "id": bare_id(addresses.device),
            "identifier": [{"system": DICOM_UID, "value": f"{OID}{report.device_uid}"}],
            "status": "active",
            "manufacturer": MANUFACTURER,
            "deviceName": [{"name": f"{MANUFACTURER} {manifest.name}", "type": "model-name"}],
            "type": concept(codes.ARTIFICIAL_INTELLIGENCE),
            "version": [{"type": {"text": name}, "value": value} for name, value in versions.items()],
            "note": [{"text": DISCLAIMER}],
        },
    )


def study(report: Report, addresses: Addresses) -> Json:
    """The study and the series that were judged, as an ImagingStudy."""
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
        "id": bare_id(addresses.study or ""),
        "identifier": [{"system": DICOM_UID, "value": f"{OID}{source.study_instance_uid}"}],
        "status": "available",
        "subject": subject(report),
        "series": [series] if source.series_instance_uid else [],
    }
    if (accession := _string(header, "AccessionNumber")) is not None:
        kind = concept_of("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN", "Accession ID")
        resource["identifier"].append({"type": kind, **_in_system(report.options.accession_system), "value": accession})
    return checked(ImagingStudy, {name: value for name, value in resource.items() if value})


def subject(report: Report) -> Json:
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


def effective(report: Report) -> Json:
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


def dicom_identifier(uid: str) -> Json:
    """A UID of DICOM as an identifier."""
    return {"system": DICOM_UID, "value": f"{OID}{uid}"}


def own_identifier(report: Report, name: str) -> Json:
    """An identifier that stays the same whenever the same report is written."""
    return {"system": OWN_SYSTEM, "value": str(report.resource_id(name))}


def bare_id(urn: str) -> str:
    """The UUID of an address."""
    return urn.removeprefix("urn:uuid:")


def issued(report: Report) -> Json:
    """When the report was written, unless its patient is to stay unknown."""
    return {} if report.deidentified else {"issued": instant(report)}


def instant(report: Report) -> str:
    """The same as a FHIR instant."""
    return report.written.isoformat(timespec="seconds")


def checked(model: type[Any], resource: Json) -> Json:
    """The resource as JSON values, after fhir.resources has checked it."""
    model.model_validate(resource)
    return resource
