"""The prediction as a FHIR R4 Bundle."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from app.reports import codes
from app.reports.fhir_guidelines import guideline_addresses, guideline_observations
from app.reports.fhir_resources import (
    SECTION,
    Addresses,
    bare_id,
    checked,
    device,
    effective,
    finding_observation,
    instant,
    issued,
    own_identifier,
    study,
    subject,
    whole_observation,
)
from app.reports.fhir_values import Json, concept, concept_of
from app.reports.page_words import PAGE_WORDS
from app.reports.report import Report
from app.reports.summary import summary


def write_bundle(report: Report, *, transaction: bool = False, pdf: bytes | None = None) -> Json:
    """DiagnosticReport, an Observation for the whole and one for each finding, ImagingStudy (for a DICOM source) and
    Device, as JSON values. `pdf` is the case report for people, where it is wanted in the DiagnosticReport.

    A `collection`, or a `transaction` that a server may be sent any number of times. References are the entries' own
    `urn:uuid` addresses.
    """
    addresses = Addresses(report)
    guidelines = guideline_observations(report, addresses)
    observations = [
        whole_observation(report, addresses),
        *(finding_observation(report, f, addresses) for f in report.findings),
        *guidelines,
    ]
    resources = [_report(report, addresses, pdf), *observations, device(report, addresses)]
    if addresses.study is not None:
        resources.append(study(report, addresses))
    return bundle_of(report, resources, own_identifier(report, "bundle"), transaction=transaction)


def bundle_of(report: Report, resources: Sequence[Json], identifier: Json, *, transaction: bool = False) -> Json:
    """The resources as entries of one bundle."""
    bundle: Json = {
        "resourceType": "Bundle",
        "type": "transaction" if transaction else "collection",
        "entry": [_entry(resource, transaction=transaction) for resource in resources],
    }
    if not report.deidentified:
        bundle["timestamp"] = instant(report)
    if not transaction:
        bundle["identifier"] = identifier
    return checked(Bundle, bundle)


def _report(report: Report, addresses: Addresses, pdf: bytes | None) -> Json:
    results = (addresses.whole, *addresses.findings.values(), *guideline_addresses(report, addresses))
    resource = diagnostic_report(report, addresses, own_identifier(report, "report"), results, summary(report))
    if addresses.study is not None:
        resource["imagingStudy"] = [{"reference": addresses.study}]
    if pdf is not None:
        resource["presentedForm"] = [attachment(report, pdf)]
    return checked(DiagnosticReport, resource)


def diagnostic_report(
    report: Report, addresses: Addresses, identifier: Json, results: Iterable[str], conclusion: Iterable[str]
) -> Json:
    """A DiagnosticReport on what a report is on, without the studies it is of."""
    return {
        "resourceType": "DiagnosticReport",
        "id": bare_id(addresses.report),
        "identifier": [identifier],
        "status": "preliminary",
        "category": [concept_of(SECTION, "RAD", "Radiology")],
        "code": concept(codes.CT_CHEST),
        "subject": subject(report),
        **effective(report),
        **issued(report),
        "result": [{"reference": address} for address in results],
        "conclusion": " ".join(conclusion),
        "conclusionCode": [concept(codes.decision_code(report.prediction.decision, report.bundle.manifest))],
    }


def attachment(report: Report, pdf: bytes) -> Json:
    """The case report for people; it names no patient."""
    created = {} if report.deidentified else {"creation": instant(report)}
    return {
        "contentType": "application/pdf",
        "language": report.language,
        "data": b64encode(pdf).decode("ascii"),
        "size": len(pdf),
        "title": PAGE_WORDS["title"][report.language],
        **created,
    }


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
