"""Lines of the trail as DICOM audit messages (PS3.15 A.5), the format of IHE ATNA.

A message needs a patient and study UIDs (A.5.3). Here they are the names of `app.security.pseudonyms`, and each says
that it is anonymized: the operator, who has the key, finds the study; the collector learns of no patient.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

Members = Mapping[str, Any]  # of a line
MESSAGE_ID: Final = "DICOM+RFC3881"  # PS3.15 A.6
DCM: Final = "DCM"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept."""

    value: str
    meaning: str
    scheme: str = DCM


@dataclass(frozen=True, slots=True)
class Kind:
    """What an operation is to DICOM: event, action (C create, R read, U update, E execute), and perhaps a type."""

    event: Code
    action: str
    type: Code | None = None


ACTIVITY: Final = Code("110100", "Application Activity")
ACCESSED: Final = Code("110103", "DICOM Instances Accessed")
TRANSFERRED: Final = Code("110104", "DICOM Instances Transferred")
QUERY: Final = Code("110112", "Query")
SECURITY_ALERT: Final = Code("110113", "Security Alert")
# PS3.16 CID 400 and 401.
KINDS: Final[dict[str, Kind]] = {
    "open_trail": Kind(ACTIVITY, "E", Code("110120", "Application Start")),
    "start": Kind(ACTIVITY, "E", Code("110120", "Application Start")),
    "stop": Kind(ACTIVITY, "E", Code("110121", "Application Stop")),
    "judge_slice": Kind(ACCESSED, "R"),
    "judge_series": Kind(ACCESSED, "R"),
    "judge_spooled": Kind(ACCESSED, "R"),
    "read_report": Kind(ACCESSED, "R"),
    "run_network": Kind(ACCESSED, "R"),
    "take_verdict": Kind(ACCESSED, "U"),
    "change_versions": Kind(SECURITY_ALERT, "E", Code("110131", "Software Configuration")),
    "retrieve_results": Kind(ACCESSED, "R"),
    "store": Kind(TRANSFERRED, "C"),
    "deliver": Kind(TRANSFERRED, "R"),
    "cancel": Kind(ACCESSED, "D"),
    "pull": Kind(QUERY, "E"),
    "change_workitem": Kind(ACCESSED, "U"),
    "find_results": Kind(QUERY, "E"),
    "refuse": Kind(ACCESSED, "R"),
}
# Of a caller that is not known or may not, and of all that has no kind of its own.
NOT_ALLOWED: Final = Kind(SECURITY_ALERT, "E", Code("110126", "Node Authentication"))
ALERT: Final = Kind(SECURITY_ALERT, "E", Code("110133", "Audit Recording Stopped"))
REFUSED_CALLERS: Final = frozenset({"not_authorised", "forbidden"})
APPLICATION: Final = Code("110150", "Application")
SOURCE_ROLE: Final = Code("110153", "Source Role ID")
STUDY_UID: Final = Code("110180", "Study Instance UID")
PATIENT_NUMBER: Final = Code("2", "Patient Number", "RFC-3881")
SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
PERSON, SYSTEM_OBJECT = "1", "2"
PATIENT_ROLE, REPORT_ROLE, SECURITY_ROLE = "1", "3", "13"
ADDRESS: Final = "2"  # Network Access Point Type Code: an IP address
UNNAMED: Final = "not recorded"


def audit_message(members: Members, source_id: str) -> bytes:
    """The message for the members of a line, XML in UTF-8; `source_id` names this service at its site."""
    kind = _kind(members)
    message = Element("AuditMessage")
    event = SubElement(message, "EventIdentification")
    event.set("EventActionCode", kind.action)
    event.set("EventDateTime", members["time"])
    event.set("EventOutcomeIndicator", _outcome(members))
    _coded(event, "EventID", kind.event)
    if kind.type is not None:
        _coded(event, "EventTypeCode", kind.type)
    if members.get("outcome", "done") != "done":
        SubElement(event, "EventOutcomeDescription").text = str(members["outcome"])
    _caller(message, members)
    _participant(message, source_id, requestor=members.get("who") == "service", role=APPLICATION)
    source = SubElement(message, "AuditSourceIdentification", AuditSourceID=source_id)
    _coded(source, "AuditSourceTypeCode", Code("4", "Application Server Process", "RFC-3881"))
    for participant in _objects(members, kind):
        message.append(participant)
    content: bytes = tostring(message, encoding="utf-8", xml_declaration=True)
    return content


def _kind(members: Members) -> Kind:
    operation, outcome = members.get("operation"), members.get("outcome")
    if operation == "refuse" and outcome in REFUSED_CALLERS:
        return NOT_ALLOWED
    return KINDS.get(str(operation), ALERT)


def _outcome(members: Members) -> str:
    if members.get("operation") == "gap_in_trail":
        return SERIOUS_FAILURE
    return SUCCESS if members.get("outcome", "done") == "done" else MINOR_FAILURE


def _caller(message: Element, members: Members) -> None:
    who = str(members.get("who", UNNAMED))
    if who != "service":
        _participant(message, who, requestor=True, role=SOURCE_ROLE, address=members.get("address"))


def _participant(message: Element, user: str, *, requestor: bool, role: Code, address: str | None = None) -> None:
    participant = SubElement(message, "ActiveParticipant", UserID=user, UserIsRequestor=str(requestor).lower())
    if address is not None:
        participant.set("NetworkAccessPointTypeCode", ADDRESS)
        participant.set("NetworkAccessPointID", address)
    _coded(participant, "RoleIDCode", role)


def _objects(members: Members, kind: Kind) -> Iterable[Element]:
    subject = members.get("subject", {})
    if kind.event in (ACCESSED, TRANSFERRED):
        studies = subject.get("study", UNNAMED)
        for study in [studies] if isinstance(studies, str) else studies:
            yield _object(SYSTEM_OBJECT, REPORT_ROLE, STUDY_UID, study, members)
        yield _object(PERSON, PATIENT_ROLE, PATIENT_NUMBER, subject.get("patient", UNNAMED), {})
    elif kind.event == QUERY:
        yield _object(SYSTEM_OBJECT, REPORT_ROLE, STUDY_UID, subject.get("study", UNNAMED), members)
    elif kind.event == SECURITY_ALERT:
        uri = Code("12", "URI", "RFC-3881")
        yield _object(SYSTEM_OBJECT, SECURITY_ROLE, uri, "urn:lungscope", members)


def _object(kind: str, role: str, id_type: Code, name: str, details: Members) -> Element:
    found = Element("ParticipantObjectIdentification", ParticipantObjectID=name)
    found.set("ParticipantObjectTypeCode", kind)
    found.set("ParticipantObjectTypeCodeRole", role)
    _coded(found, "ParticipantObjectIDTypeCode", id_type)
    for name_of, value in _details(details):
        SubElement(found, "ParticipantObjectDetail", type=name_of, value=value)
    if id_type.scheme == DCM or id_type is PATIENT_NUMBER:
        SubElement(SubElement(found, "ParticipantObjectDescription"), "Anonymized").text = "true"
    return found


def _details(members: Members) -> Iterable[tuple[str, str]]:
    """What no field of DICOM's holds, as base64 (xs:base64Binary)."""
    taken = ("request_id", "decision", "input", "result")
    values = {name: members[name] for name in taken if name in members}
    values |= members.get("models", {})
    subject = members.get("subject", {})
    values |= {kind: subject[kind] for kind in ("series", "accession") if kind in subject}
    values |= members.get("details", {})
    if destinations := members.get("destinations"):
        values["destinations"] = " ".join(destinations)
    for name, value in values.items():
        text = " ".join(value) if isinstance(value, list) else str(value)
        yield str(name), b64encode(text.encode()).decode("ascii")


def _coded(parent: Element, name: str, code: Code) -> None:
    coded = SubElement(parent, name)
    coded.set("csd-code", code.value)
    coded.set("codeSystemName", code.scheme)
    coded.set("originalText", code.meaning)
