"""Receives the instances of one STOW-RS request (PS3.18 10.5): checks each when it is complete, and reports on it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from app.delivery.spool import Reception
from app.errors import EmptyInput, InputError, MalformedInput, UnsupportedInput, WrongModality
from app.imaging.codecs import DECODERS
from app.imaging.dicom import CT_SOP_CLASSES, PLAIN_SYNTAXES, DicomImage
from app.imaging.header import Header, parse_dicom
from app.imaging.values import is_uid, is_valid

# Failure and warning reasons: PS3.18 tables I.2-1 and I.2-2.
PROCESSING_FAILURE: Final = 0x0110
DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
UNSUPPORTED_TRANSFER_SYNTAX: Final = 0xC122
ELEMENTS_DISCARDED: Final = 0xB006
READABLE_SYNTAXES: Final = frozenset({*PLAIN_SYNTAXES, DeflatedExplicitVRLittleEndian, *DECODERS})
IDENTITY: Final = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "NumberOfFrames"]


@dataclass(frozen=True, slots=True)
class Instance:
    """The UIDs that identify one instance; empty where the file does not give them."""

    sop_class: str = ""
    uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    transfer_syntax: str = ""
    frames: int = 1

    @property
    def is_named(self) -> bool:
        """Whether the instance has the UIDs by which an answer refers to it."""
        return is_uid(self.sop_class) and is_uid(self.uid)

    @property
    def has_odd_uids(self) -> bool:
        """Whether an attribute for a UID holds something else."""
        uids = (self.sop_class, self.uid, self.study_uid, self.series_uid)
        return not all(is_uid(uid) for uid in uids if uid)


class Intake:
    """Receives the instances of one request into the spool, and remembers what the answer says of each.

    It keeps CT images. It acknowledges other objects, results of this service among them, and leaves them out: a sender
    may forward whole studies, and results sent back to it cannot go round in circles.
    """

    def __init__(self, reception: Reception, study_uid: str | None = None) -> None:
        self._reception = reception
        self._study_uid = study_uid
        self._part: BinaryIO | None = None
        self.stored: list[Instance] = []
        self.left_out: list[Instance] = []
        self.failed: list[tuple[Instance, int]] = []

    def begin(self) -> None:
        """Open a file for the next instance."""
        self._part = self._reception.open_part()

    def write(self, data: bytes | memoryview) -> None:
        """Write the next bytes of the instance."""
        assert self._part is not None
        self._part.write(data)

    def end(self) -> None:
        """Close and check the instance: keep it, leave it out, or note what is wrong with it."""
        assert self._part is not None
        self._part.close()
        path = self._reception.part
        instance = _instance(path)
        reason = self._refusal(instance, path)
        if reason == ELEMENTS_DISCARDED:
            self.left_out.append(instance)
        elif reason is not None:
            self.failed.append((instance, reason))
        else:
            self._reception.keep(instance.series_uid, instance.uid, whole=instance.frames > 1)
            self.stored.append(instance)

    def close(self) -> None:
        """Close the file of an instance that was broken off."""
        if self._part is not None:
            self._part.close()

    def counts(self) -> dict[str, int]:
        """The number of instances by outcome."""
        return {"stored": len(self.stored), "left_out": len(self.left_out), "failed": len(self.failed)}

    def subject(self) -> dict[str, list[str]]:
        """The studies and series of the instances that are stored."""
        return {
            "study": sorted({instance.study_uid for instance in self.stored}),
            "series": sorted({instance.series_uid for instance in self.stored}),
        }

    def answer(self) -> tuple[HTTPStatus, Dataset]:
        """The status and data set of the answer (PS3.18 tables 10.5.3-1 and I.1-1); raises EmptyInput for a request
        without parts."""
        if not (self.stored or self.left_out or self.failed):
            raise EmptyInput(found="no bytes", expected="DICOM instances", remedy="Check that the files were attached.")
        dataset = Dataset()
        dataset.RetrieveURL = None  # of the stored study: sources are not kept
        acknowledged = [_item(i) for i in self.stored] + [_item(i, warning=ELEMENTS_DISCARDED) for i in self.left_out]
        if acknowledged:
            dataset.ReferencedSOPSequence = acknowledged
        if named := [_item(i, failure=reason) for i, reason in self.failed if i.is_named]:
            dataset.FailedSOPSequence = named
        if nameless := [_failure(reason) for i, reason in self.failed if not i.is_named]:
            dataset.OtherFailuresSequence = nameless
        if not acknowledged:
            return HTTPStatus.CONFLICT, dataset
        return HTTPStatus.ACCEPTED if self.left_out or self.failed else HTTPStatus.OK, dataset

    def _refusal(self, instance: Instance, path: Path) -> int | None:
        """Why an instance is not kept; None when it is."""
        if instance == Instance() or instance.has_odd_uids:
            return CANNOT_UNDERSTAND
        if not (instance.is_named and instance.study_uid and instance.series_uid):
            return DOES_NOT_MATCH_SOP_CLASS
        if self._study_uid not in (None, instance.study_uid):
            return PROCESSING_FAILURE
        if instance.sop_class not in CT_SOP_CLASSES:
            return ELEMENTS_DISCARDED
        if instance.transfer_syntax not in READABLE_SYNTAXES:
            return UNSUPPORTED_TRANSFER_SYNTAX
        return _unreadable(path)


def _instance(path: Path) -> Instance:
    """Read an instance's UIDs; all are empty for a file that is not DICOM."""
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        syntax = UID(Header(meta).text("TransferSyntaxUID") or "")
        if syntax == DeflatedExplicitVRLittleEndian:
            dataset = parse_dicom(path.read_bytes()).dataset
        else:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*IDENTITY])
        header = Header(dataset)
        sop_class, uid, study_uid, series_uid = (header.text(keyword) or "" for keyword in IDENTITY[:4])
        frames = header.text("NumberOfFrames") or "1"
    # pydicom raises whatever its parsers meet in damaged bytes.
    except Exception:
        return Instance()
    return Instance(sop_class, uid, study_uid, series_uid, syntax, int(frames) if is_valid("IS", frames) else 1)


def _unreadable(path: Path) -> int | None:
    """Why a CT file cannot be read as an image, as far as that shows before decoding."""
    try:
        image = DicomImage.parse(path.read_bytes())
    except WrongModality:
        return ELEMENTS_DISCARDED
    except UnsupportedInput:
        return UNSUPPORTED_TRANSFER_SYNTAX
    except MalformedInput:
        return CANNOT_UNDERSTAND
    except InputError:
        return DOES_NOT_MATCH_SOP_CLASS
    native = image.transfer_syntax in PLAIN_SYNTAXES
    # A file cut off on its way must not replace the whole one that came before.
    if native and len(image.pixel_data) < image.fmt.shape.nbytes * image.frames:
        return CANNOT_UNDERSTAND
    return None


def _item(instance: Instance, *, failure: int | None = None, warning: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.uid
    if failure is not None:
        item.FailureReason = failure
        return item
    item.RetrieveURL = None
    if warning is not None:
        item.WarningReason = warning
    return item


def _failure(reason: int) -> Dataset:
    item = Dataset()
    item.FailureReason = reason
    return item
