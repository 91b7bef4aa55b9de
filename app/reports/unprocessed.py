"""The structured report on a series that was not judged: not processed, because ..."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from highdicom import ContributingEquipment
from highdicom.sr import (
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DA, DT, TM

from app import __version__
from app.imaging.header import Header
from app.inference.bundle import Bundle
from app.reports import codes
from app.reports.authorship import DEVICE, SERIES_DESCRIPTIONS, SERIES_NUMBERS
from app.reports.deidentified import remove_times, without_patient
from app.reports.headers import TYPE_2, copy_patient_and_study
from app.reports.predecessor import replacing
from app.reports.report import DISCLAIMER, MANUFACTURER, derived_uid
from app.reports.result import ReportReference
from app.reports.source import SourceHeader
from app.reports.structured import LANGUAGE

IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a series was not judged: a stable code, and words without patient data."""

    code: str
    words: str


def write_unprocessed(
    headers: Sequence[Dataset],
    reason: Reason,
    bundle: Bundle,
    written: datetime,
    predecessor: ReportReference | None = None,
    *,
    deidentified: bool = False,
) -> Dataset | None:
    """The report of one series, which refers to every instance whose header was read; the same series and reason give
    the same report. None where no header has the UIDs by which to refer to it.

    It is a Comprehensive 3D SR like those of what was judged, with one group (TID 1501) whose probability is the code
    "measurement not attempted", and the reason as a comment.
    """
    named = [header for header in headers if all(Header(header).text(keyword) for keyword in IDENTITY)]
    if not named:
        return None
    source = SourceHeader.of(named[0])
    source = without_patient(source) if deidentified else source
    device_uid = derived_uid("device", __version__, bundle.digest)
    question = hashlib.sha256("\n".join(sorted(str(each.SOPInstanceUID) for each in named)).encode()).hexdigest()
    instance = Comprehensive3DSR(
        evidence=[_nameless(header, named[0]) for header in named],
        content=MeasurementReport(
            observation_context=ObservationContext(observer_device_context=_observer(bundle, device_uid)),
            procedure_reported=codes.CT_CHEST,
            imaging_measurements=[_group(named[0], reason, derived_uid("unprocessed", question, device_uid))],
            language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(LANGUAGE),
        ),
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_instance_uid=derived_uid("series", "sr", named[0].SeriesInstanceUID, device_uid),
        series_number=SERIES_NUMBERS["sr"],
        series_description=SERIES_DESCRIPTIONS["sr"],
        sop_instance_uid=derived_uid("sr", "unprocessed", question, device_uid, reason.code),
        instance_number=1,
        manufacturer=MANUFACTURER,
        content_date=DA(written.date()),
        content_time=TM(written.time()),
        contributing_equipment=[_equipment(bundle, device_uid)],
    )
    copy_patient_and_study(instance, source)
    instance.InstanceCreationDate, instance.InstanceCreationTime = DA(written.date()), TM(written.time())
    for equipment in instance.ContributingEquipmentSequence:
        equipment.ContributionDateTime = DT(written.replace(tzinfo=None))
    if deidentified:
        remove_times(instance)
    return replacing(instance, predecessor)


def _group(header: Dataset, reason: Reason, tracking_uid: str) -> MeasurementsAndQualitativeEvaluations:
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid, "Decision"),
        finding_type=codes.INDETERMINATE,
        qualitative_evaluations=[QualitativeEvaluation(codes.PROBABILITY, codes.NOT_ATTEMPTED)],
        source_images=[SourceImageForMeasurementGroup(_sop_class(header), str(header.SOPInstanceUID))],
    )
    for comment in (f"Not processed, because: {reason.words} ({reason.code}).", DISCLAIMER):
        group[0].ContentSequence.append(TextContentItem(codes.COMMENT, comment, "CONTAINS"))
    return group


def _nameless(header: Dataset, first: Dataset) -> Dataset:
    """What stands for an instance before highdicom, which wants all of one study."""
    dataset = Dataset()
    for keyword in TYPE_2:
        setattr(dataset, keyword, None)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = first.StudyInstanceUID, header.SeriesInstanceUID
    dataset.SOPClassUID, dataset.SOPInstanceUID = _sop_class(header), header.SOPInstanceUID
    return dataset


def _sop_class(header: Dataset) -> str:
    return Header(header).text("SOPClassUID") or CTImageStorage


def _observer(bundle: Bundle, device_uid: str) -> ObserverContext:
    return ObserverContext(
        observer_type=DEVICE,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=device_uid,
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=f"{bundle.manifest.name} {bundle.manifest.version}",
        ),
    )


def _equipment(bundle: Bundle, device_uid: str) -> ContributingEquipment:
    item = ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        manufacturer_model_name=f"{bundle.manifest.name} {bundle.manifest.version}",
        software_versions=__version__,
        contribution_description=f"Nothing was judged. {DISCLAIMER}",
    )
    item.DeviceUID = device_uid
    return item
