"""A caller that sends PDUs as they are told, whole or in part, well or badly: no threads, no state machine."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final, Self

from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dimse_messages import C_ECHO_RQ, C_FIND_RQ, C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_STORE
from pynetdicom.pdu import A_ASSOCIATE_RQ, A_RELEASE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    P_DATA,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when it is imported

PATIENCE_S: Final = 60
ACCEPTED, REJECTED, DATA, RELEASED, ABORTED = 2, 3, 4, 6, 7  # types of PDUs (PS3.8 9.3)
FRAGMENT_BYTES: Final = 16_000
CONTEXTS: Final = {1: Verification, 3: CTImageStorage}  # by their identifiers


class Caller:
    """A connection to the door, with an association when it is accepted."""

    def __init__(
        self,
        port: int,
        calling: str = "CT01",
        called: str = "LUNGSCOPE",
        syntax: UID = ExplicitVRLittleEndian,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="127.0.0.1")
        try:
            self.socket.sendall(request_bytes(calling, called, syntax))
            self.kind, self.answer = self.pdu()
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    @property
    def rejection(self) -> tuple[int, ...]:
        """Result, source and reason of a rejection (PS3.8 9.3.4)."""
        assert self.kind == REJECTED
        return tuple(self.answer[7:10])

    def pdu(self) -> tuple[int, bytes]:
        """Type and bytes of the next PDU; 0 and none at the end of the connection."""
        try:
            head = self._read(6)
            if len(head) < 6:
                return 0, b""
            kind, _, length = struct.unpack(">BBL", head)
            return kind, head + self._read(length)
        except ConnectionError:
            return 0, b""

    def store(self, data: bytes | None, **given: Any) -> int | None:
        """The status of one C-STORE; None where the association ends instead."""
        for pdu in store_pdus(data, **given):
            self.socket.sendall(pdu)
        return self.status()

    def echo(self) -> int | None:
        """The status of a C-ECHO."""
        request = C_ECHO()
        request.MessageID = 1
        request.AffectedSOPClassUID = UID(Verification)
        message = C_ECHO_RQ()
        message.primitive_to_message(request)
        self.send(message, 1)
        return self.status()

    def find(self) -> None:
        """Ask for something that is not done here."""
        request = C_FIND()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID = UID(CTImageStorage)
        request.Identifier = BytesIO(b"12345678")
        message = C_FIND_RQ()
        message.primitive_to_message(request)
        self.send(message, 3)

    def send(self, message: DIMSEMessage, context: int) -> None:
        for part in message.encode_msg(context, FRAGMENT_BYTES):
            self.socket.sendall(P_DATA_TF(part).encode())

    def status(self) -> int | None:
        """That of the next answer; None where the association ends instead."""
        message = DIMSEMessage()
        while True:
            kind, data = self.pdu()
            if kind != DATA:
                return None
            part = P_DATA_TF()
            part.decode(data)
            if message.decode_msg(part.to_primitive()):
                return int(message.command_set.Status)

    def release(self) -> None:
        self.socket.sendall(A_RELEASE_RQ().encode())
        assert self.pdu()[0] == RELEASED

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (piece := self.socket.recv(count - len(data))):
            data += piece
        return data


def dataset_of(file: bytes) -> bytes:
    """What follows the meta information of a file (PS3.10 7.1)."""
    return file[144 + struct.unpack("<L", file[140:144])[0] :]


def store_pdus(data: bytes | None, *, sop_class: str = CTImageStorage, uid: str, context: int = 3) -> Iterator[bytes]:
    """The PDUs of one C-STORE request with these bytes as its data set, or without one."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(sop_class), UID(uid)
    request.DataSet = BytesIO(data or b"")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 0x0101 if data is None else 1
    for part in message.encode_msg(context, FRAGMENT_BYTES):
        yield P_DATA_TF(part).encode()


def pdv(control: int, data: bytes, context: int = 3) -> bytes:
    """A PDU with one fragment; bits of `control`: 1 of a command, 2 the last (PS3.8 E.2)."""
    part = P_DATA()
    part.presentation_data_value_list.append((context, bytes([control]) + data))
    return P_DATA_TF(part).encode()


def request_bytes(calling: str = "CT01", called: str = "LUNGSCOPE", syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The request of an association."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID("1.2.840.10008.3.1.1.1")
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    contexts = []
    for identifier, sop_class in CONTEXTS.items():
        context = build_context(sop_class, syntax if identifier == 3 else None)
        context.context_id = identifier
        contexts.append(context)
    primitive.presentation_context_definition_list = contexts
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = FRAGMENT_BYTES
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [length, implementation]
    return A_ASSOCIATE_RQ(primitive).encode()
