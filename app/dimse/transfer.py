"""One data set that comes by C-STORE: written into the spool as it comes, and checked when it is whole."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.dsutils import create_file_meta

from app.delivery.spool.spool import Reception
from app.dimse.desk import Desk
from app.errors import Unavailable
from app.imaging.values import is_uid
from app.intake import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH_SOP_CLASS,
    ELEMENTS_DISCARDED,
    PROCESSING_FAILURE,
    Instance,
    Intake,
)

# Statuses of C-STORE: PS3.4 table B.2-1, PS3.7 C.
SUCCESS: Final = 0x0000
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
OUT_OF_RESOURCES: Final = 0xA700
PREAMBLE: Final = bytes(128) + b"DICM"


class Unacceptable(Exception):
    """What a caller sends is beyond a bound, or nothing that is known here: its association ends. Names no value."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What a request and its presentation context (PS3.8 7.1.1.13) say of the data set that follows."""

    sop_class: str
    uid: str
    abstract_syntax: str
    transfer_syntax: str

    def file_head(self) -> bytes:
        """What precedes the data set in a file (PS3.10 7.1)."""
        meta = create_file_meta(
            sop_class_uid=UID(self.sop_class),
            sop_instance_uid=UID(self.uid),
            transfer_syntax=UID(self.transfer_syntax),
        )
        head = DicomBytesIO()
        write_file_meta_info(head, meta)
        return PREAMBLE + head.getvalue()

    def is_of(self, instance: Instance) -> bool:
        """Whether an instance is the announced one."""
        return (instance.sop_class, instance.uid) == (self.sop_class, self.uid)


class Transfer(BytesIO):
    """The buffer into which pynetdicom writes a data set. It keeps nothing in memory: all goes into the spool.

    A caller hears of what went wrong when it has sent everything, as DIMSE has it; until then the rest is dropped.
    """

    def __init__(self, desk: Desk, announced: Announced) -> None:
        super().__init__()
        self.instance: Instance | None = None  # once it is stored
        self._desk = desk
        self._announced = announced
        self._kept = ExitStack()
        self._intake: Intake  # these two unless there is a status already
        self._reception: Reception
        self._status: int | None = None  # why it will not be stored
        self._received, self._waited_s = 0, 0.0
        self._last_s = time.monotonic()
        self._open()

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # of all buffers pynetdicom writes bytes alone
        """Take the next bytes; raises Unacceptable for too many of them, or too few in too much time."""
        self._require_pace(len(data))
        if self._status is None:
            try:
                with self._desk.inbox.watch.guard():
                    self._intake.write(data)
            except Unavailable:
                self._status = OUT_OF_RESOURCES
        self._last_s = time.monotonic()
        return len(data)

    def finish(self, caller: str, address: str) -> int:
        """Check and store the whole instance, and put that on record; returns the status of C-STORE."""
        status = PROCESSING_FAILURE
        try:
            status = self._checked() if self._status is None else self._status
            subject = {} if self.instance is None else self._intake.subject()
            self._desk.put_on_record(caller, address, subject, {_outcome(status): 1})
        except Unavailable:
            status = OUT_OF_RESOURCES
        finally:
            self.close()
            self._desk.metrics.instances(_outcome(status)).inc()
        return status

    def close(self) -> None:
        """Delete what is not stored."""
        self._kept.close()
        super().close()

    def _open(self) -> None:
        announced = self._announced
        if announced.sop_class != announced.abstract_syntax:
            self._status = SOP_CLASS_NOT_SUPPORTED
            return
        if not is_uid(announced.uid):
            self._status = CANNOT_UNDERSTAND
            return
        try:
            self._desk.require()
            with self._desk.inbox.watch.guard():
                self._reception = self._kept.enter_context(self._desk.inbox.spool.reception())
                self._intake = self._kept.enter_context(closing(Intake(self._reception)))
                self._intake.begin()
                self._intake.write(announced.file_head())
        except Unavailable:
            self._status = OUT_OF_RESOURCES

    def _require_pace(self, count: int) -> None:
        """The time that we take to write does not count."""
        bounds = self._desk.bounds
        self._received += count
        self._waited_s += time.monotonic() - self._last_s
        if self._received > bounds.instance_bytes:
            raise Unacceptable(f"an instance of more than {bounds.instance_bytes >> 20} MB (LUNGSCOPE_MAX_STUDY_MB)")
        if self._received < (self._waited_s - bounds.patience_s) * bounds.least_rate:
            raise Unacceptable("an instance that comes too slowly (LUNGSCOPE_MIN_RATE_KB)")

    def _checked(self) -> int:
        inbox = self._desk.inbox
        with inbox.watch.guard():
            self._intake.end()
            if self._intake.failed:
                return self._intake.failed[0][1]
            (instance,) = self._intake.stored or self._intake.left_out
            if not self._announced.is_of(instance):
                return DOES_NOT_MATCH_SOP_CLASS
            if self._intake.left_out:
                return ELEMENTS_DISCARDED
            inbox.received(self._intake.series(), self._intake.accessions())
            self._reception.commit()
        inbox.watch.succeeded()
        self.instance = instance
        return SUCCESS


def _outcome(status: int) -> str:
    """As STOW-RS counts them, and what there was no room for."""
    return {SUCCESS: "stored", ELEMENTS_DISCARDED: "left_out", OUT_OF_RESOURCES: "refused"}.get(status, "failed")
