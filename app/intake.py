"""What comes in by any door: an instance is written into the spool, checked when it is complete, kept or refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from app.delivery.spool.spool import Reception
from app.errors import DicomTooComplex, InputError, MalformedInput, UnsupportedInput, WrongModality
from app.imaging.chunked import stream_of
from app.imaging.codecs import DECODERS
from app.imaging.dicom import CT_SOP_CLASSES, PLAIN_SYNTAXES, DicomImage
from app.imaging.header import Header, parse_dicom, read_attributes, read_file_meta
from app.imaging.memory import mapped_file
from app.imaging.values import is_uid, is_valid

# Failure and warning reasons: PS3.18 tables I.2-1 and I.2-2, and statuses of C-STORE (PS3.4 table B.2-1).
PROCESSING_FAILURE: Final = 0x0110
DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
UNSUPPORTED_TRANSFER_SYNTAX: Final = 0xC122
ELEMENTS_DISCARDED: Final = 0xB006
READABLE_SYNTAXES: Final = frozenset({*PLAIN_SYNTAXES, DeflatedExplicitVRLittleEndian, *DECODERS})
IDENTITY: Final = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
READ: Final = [*IDENTITY, "NumberOfFrames", "AccessionNumber"]


@dataclass(frozen=True, slots=True)
class Instance:
    """The UIDs that identify one instance, and its accession number; empty where the file does not give them."""

    sop_class: str = ""
    uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    transfer_syntax: str = ""
    frames: int = 1
    accession: str = ""

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
    """Receives the instances of one request into the spool, and remembers what became of each.

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
        self._reception.wrote(len(data))

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
        """Close the file of an instance that was broken off, or could not be written: what a full disk did not take
        is not wanted any more."""
        if self._part is not None:
            with suppress(OSError):
                self._part.close()

    def counts(self) -> dict[str, int]:
        """The number of instances by outcome."""
        return {"stored": len(self.stored), "left_out": len(self.left_out), "failed": len(self.failed)}

    def series(self) -> set[tuple[str, str]]:
        """The series of the instances that are stored, by the UIDs of their study and their own."""
        return {(instance.study_uid, instance.series_uid) for instance in self.stored}

    def accessions(self) -> dict[str, str]:
        """The accession numbers of the series that are stored, by their UIDs."""
        return {instance.series_uid: instance.accession for instance in self.stored if instance.accession}

    def subject(self) -> dict[str, list[str]]:
        """The studies and series of the instances that are stored."""
        return {
            "study": sorted({instance.study_uid for instance in self.stored}),
            "series": sorted({instance.series_uid for instance in self.stored}),
        }

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
        file = mapped_file(path)
        syntax = UID(Header(read_file_meta(stream_of(file))).text("TransferSyntaxUID") or "")
        if syntax == DeflatedExplicitVRLittleEndian:
            dataset = parse_dicom(file).dataset
        else:
            dataset = read_attributes(stream_of(file), READ)
        header = Header(dataset)
        sop_class, uid, study_uid, series_uid = (header.text(keyword) or "" for keyword in IDENTITY)
        frames = header.text("NumberOfFrames") or "1"
        accession = header.text_if_usable("AccessionNumber") or ""
    # pydicom raises whatever its parsers meet in damaged bytes.
    except Exception:
        return Instance()
    count = int(frames) if is_valid("IS", frames) else 1
    return Instance(sop_class, uid, study_uid, series_uid, syntax, count, accession)


def _unreadable(path: Path) -> int | None:
    """Why a CT file cannot be read as an image, as far as that shows before decoding."""
    try:
        image = DicomImage.parse(mapped_file(path))
    except WrongModality:
        return ELEMENTS_DISCARDED
    except UnsupportedInput:
        return UNSUPPORTED_TRANSFER_SYNTAX
    except (MalformedInput, DicomTooComplex):
        return CANNOT_UNDERSTAND
    except InputError:
        return DOES_NOT_MATCH_SOP_CLASS
    native = image.transfer_syntax in PLAIN_SYNTAXES
    # A file cut off on its way must not replace the whole one that came before.
    if native and len(image.pixel_data) < image.fmt.shape.nbytes * image.frames:
        return CANNOT_UNDERSTAND
    return None
