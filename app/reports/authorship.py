"""Who made a result object: software and model, as DICOM states both."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    DeviceObserverIdentifyingAttributes,
    ObserverContext,
)
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from app import __version__
from app.reports import codes
from app.reports.deidentified import remove_times
from app.reports.headers import copy_body_part, copy_patient_and_study, restore_frames
from app.reports.report import DISCLAIMER, MANUFACTURER, Kind, Report, ReportedSlice, derived_uid
from app.reports.result import REPORT_SERIES

DEVICE: Final = CodedConcept("121007", "DCM", "Device")
SERIES_NUMBERS: Final[dict[Kind, int]] = {
    "sr": 9101,
    "capture": 9102,
    "map": 9103,
    "segmentation": 9104,
    "key_images": 9105,
}
SERIES_DESCRIPTIONS: Final[dict[Kind, str]] = {
    "sr": REPORT_SERIES,
    "capture": "Lungscope evidence (research use only)",
    "map": "Lungscope evidence map (research use only)",
    "segmentation": "Lungscope outlines (research use only)",
    "key_images": "Lungscope key images (research use only)",
}


def identity(report: Report, kind: Kind, shown: ReportedSlice, *parts: object) -> dict[str, Any]:
    """The constructor arguments in which result objects of all kinds are alike; `shown` gives the instance number."""
    written = _written(report, shown)
    return {
        "series_instance_uid": report.series_uid(kind),
        "series_number": SERIES_NUMBERS[kind],
        "series_description": SERIES_DESCRIPTIONS[kind],
        "sop_instance_uid": report.instance_uid(kind, *parts),
        "instance_number": _instance_number(shown),
        "manufacturer": MANUFACTURER,
        "content_date": DA(written.date()),
        "content_time": TM(written.time()),
        "contributing_equipment": [_equipment(report)],
    }


def device(report: Report) -> dict[str, Any]:
    """The constructor arguments for the equipment (PS3.3 C.7.5.1, C.7.5.2)."""
    return {
        "manufacturer_model_name": f"{report.bundle.manifest.name} {report.bundle.manifest.version}",
        "software_versions": __version__,
        "device_serial_number": report.bundle.digest.removeprefix("sha256:")[:32],
    }


def finish(instance: Dataset, report: Report, shown: ReportedSlice, *, image: bool = True) -> Dataset:
    """Give an object its patient and study, and everything that would differ on every run its fixed value."""
    copy_patient_and_study(instance, shown.header)
    if image:
        copy_body_part(instance, shown.header)
        restore_frames(instance, report)
    written = _written(report, shown)
    instance.InstanceCreationDate, instance.InstanceCreationTime = DA(written.date()), TM(written.time())
    if "TimeOfSecondaryCapture" in instance:
        instance.DateOfSecondaryCapture, instance.TimeOfSecondaryCapture = DA(written.date()), TM(written.time())
    for equipment in instance.ContributingEquipmentSequence:
        equipment.ContributionDateTime = DT(written.replace(tzinfo=None))
    if "DimensionOrganizationSequence" in instance:
        uid = derived_uid("dimensions", instance.SOPInstanceUID)
        for item in (*instance.DimensionOrganizationSequence, *instance.DimensionIndexSequence):
            item.DimensionOrganizationUID = uid
    if report.deidentified:
        remove_times(instance)
    return instance


def observer(report: Report) -> ObserverContext:
    """Who looked: software and model as a device (PS3.16 TID 1004)."""
    manifest = report.bundle.manifest
    attributes = DeviceObserverIdentifyingAttributes(
        uid=report.device_uid,
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=f"{manifest.name} {manifest.version}",
        serial_number=report.bundle.digest.removeprefix("sha256:")[:32],
    )
    return ObserverContext(observer_type=DEVICE, observer_identifying_attributes=attributes)


def algorithm(report: Report) -> AlgorithmIdentification:
    """TID 4019."""
    manifest = report.bundle.manifest
    return AlgorithmIdentification(
        name=manifest.name,
        version=str(manifest.version),
        manufacturer=MANUFACTURER,
        parameters=[f"{name}={value}" for name, value in _parameters(report).items()],
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )


def algorithm_sequence(report: Report) -> AlgorithmIdentificationSequence:
    """Algorithm Identification Macro (PS3.3 table 10-19)."""
    manifest = report.bundle.manifest
    return AlgorithmIdentificationSequence(
        name=manifest.name,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=str(manifest.version),
        source=MANUFACTURER,
        parameters=_parameters(report),
    )


def _written(report: Report, shown: ReportedSlice) -> datetime:
    """When, in the time zone that the source states for all its times (PS3.3 C.12.1)."""
    try:
        zone = datetime.strptime(shown.header.dataset.get("TimezoneOffsetFromUTC", ""), "%z").tzinfo
    except ValueError:
        return report.written
    return report.written.astimezone(zone)


def _parameters(report: Report) -> dict[str, str]:
    parameters = {"digest": report.bundle.digest, "operating_point": f"{report.prediction.operating_point:.6g}"}
    return parameters | {f"{name}_digest": digest for name, digest in report.searched.items()}


def _equipment(report: Report) -> ContributingEquipment:
    item = ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        contribution_description=f"Nodule classification. {DISCLAIMER}",
        **device(report),
    )
    item.DeviceUID = report.device_uid
    return item


def _instance_number(shown: ReportedSlice) -> int:
    number = int(shown.header.dataset.get("InstanceNumber") or 0)
    return number if number > 0 else shown.index + 1
