"""An association that stores what is sent in it: pynetdicom's, with bounds on what it reads and keeps."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections import Counter
from typing import Any, Final

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from app.dimse.desk import MAX_COMMAND_BYTES, MAX_PDU_BYTES, MAX_UNSERVED, Desk
from app.dimse.transfer import Announced, Transfer, Unacceptable
from app.intake import CANNOT_UNDERSTAND, PROCESSING_FAILURE

INVALID_PDU: Final = "Evt19"  # of the state machine (PS3.8 table 9-10): it answers with an abort
OF_COMMAND: Final = 1  # bit of a fragment's first byte (PS3.8 E.2)
TOO_MANY: Final = (2, 3, 2)  # for now, by the service provider: local limit exceeded (PS3.8 table 9-21)
REJECTED: Final = {(1, 3): "unknown_caller", (1, 7): "unknown_title", (3, 2): "too_many"}  # source and reason
NOT_ASKED: Final = "not_asked"  # for an association
logger = logging.getLogger(__name__)


class BoundedSocket(AssociationSocket):
    """A socket that reads no PDU beyond the bound, and none for longer than the patience: pynetdicom's own reads up to
    4 GB, and waits for ever."""

    def __init__(self, association: Association, connected: socket.socket, patience_s: float) -> None:
        super().__init__(association, client_socket=connected)
        self._patience_s = patience_s

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer where the connection ends; raises OSError beyond the bounds."""
        if nr_bytes > MAX_PDU_BYTES:
            raise OSError(errno.EMSGSIZE, "a PDU that is longer than the caller was told")
        assert self.socket is not None
        until = time.monotonic() + self._patience_s
        read = bytearray()
        try:
            while len(read) < nr_bytes:
                if (left_s := until - time.monotonic()) <= 0:
                    raise TimeoutError
                self.socket.settimeout(left_s)
                piece = self.socket.recv(nr_bytes - len(read))
                if not piece:
                    break
                read += piece
        finally:
            self.socket.settimeout(self._patience_s)
        return read


class StoreProvider(DIMSEServiceProvider):
    """Takes requests of C-ECHO and C-STORE. A data set goes into the spool, fragment by fragment."""

    def __init__(self, association: Association, desk: Desk) -> None:
        super().__init__(association)
        self._desk = desk
        self._transfers: list[Transfer] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take what one PDU brings; whatever is no message that is known here ends the association."""
        try:
            for context_id, value in primitive.presentation_data_value_list:
                self._receive(context_id, value)
        except Unacceptable as error:
            logger.warning("an association is ended: the caller sent %s", error)
            self.dul.event_queue.put(INVALID_PDU)
        # Whatever pynetdicom and pydicom meet in damaged bytes.
        except Exception as error:
            logger.warning("an association is ended: a message cannot be read (%s)", type(error).__name__)
            self.dul.event_queue.put(INVALID_PDU)

    def served(self, transfer: Transfer) -> None:
        """Forget one that is finished."""
        self._transfers.remove(transfer)

    def close(self) -> int:
        """Delete what was not stored; returns how many instances that were."""
        unfinished, self._transfers = self._transfers, []
        for transfer in unfinished:
            transfer.close()
        return len(unfinished)

    def _receive(self, context_id: int, value: bytes) -> None:
        message = self.message = self.message or DIMSEMessage()
        if bool(value[0] & OF_COMMAND) == isinstance(message, C_STORE_RQ):
            raise Unacceptable("data before a request, or a command before the end of its data")
        part = P_DATA()
        part.presentation_data_value_list.append((context_id, value))
        whole = message.decode_msg(part, self.assoc)
        if message.encoded_command_set.getbuffer().nbytes > MAX_COMMAND_BYTES:
            raise Unacceptable("a command that is too long")
        if isinstance(message, C_STORE_RQ):
            if not whole and not isinstance(message.data_set, Transfer):
                self._begin(message, context_id)
        elif type(message) is not DIMSEMessage and not (whole and isinstance(message, C_ECHO_RQ)):
            raise Unacceptable("neither C-ECHO nor C-STORE")
        if whole:
            self.message = None
            self.msg_queue.put((context_id, message.message_to_primitive()))  # type: ignore[arg-type]  # it is a request
            if self.msg_queue.qsize() > MAX_UNSERVED:
                raise Unacceptable("requests without waiting for the answers")

    def _begin(self, message: C_STORE_RQ, context_id: int) -> None:
        contexts = {context.context_id: context for context in self.assoc.accepted_contexts}
        if context_id not in contexts:
            raise Unacceptable("a presentation context that was not accepted")
        command = message.command_set
        context = contexts[context_id]
        announced = Announced(
            str(command.AffectedSOPClassUID),
            str(command.AffectedSOPInstanceUID),
            str(context.abstract_syntax),
            str(context.transfer_syntax[0]),
        )
        transfer = Transfer(self._desk, announced)
        self._transfers.append(transfer)
        message.data_set = transfer


class Room:
    """Lets in as many associations at once as may be. One that is rejected, or has ended, takes no place."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._inside: list[Association] = []
        self._lock = threading.Lock()

    def let_in(self, association: Association) -> bool:
        """Whether there was a place for it."""
        with self._lock:
            self._inside = [each for each in self._inside if each.is_alive() and not each.is_rejected]
            if len(self._inside) >= self._places:
                return False
            self._inside.append(association)
            return True


class StoringAssociation(Association):
    """An association of a caller, from its connection to its end."""

    dimse: StoreProvider

    def __init__(self, ae: ApplicationEntity, desk: Desk, room: Room) -> None:
        super().__init__(ae, "acceptor")
        self.dimse = StoreProvider(self, desk)
        self.dul.daemon = True  # a peer that hangs does not keep the process
        self._desk = desk
        self._stored: Counter[str] = Counter()  # instances, by their series
        self._room = room
        self.bind(evt.EVT_REQUESTED, self._requested)
        self.bind(evt.EVT_C_STORE, self._store)

    @property
    def address(self) -> str:
        """From where the caller calls."""
        info = self.requestor.address_info
        return "" if info is None else info.address

    def run_reactor(self) -> None:
        """Serve the association, in its own thread, until it ends in whatever way."""
        try:
            super().run_reactor()
        finally:
            self._end()

    def _requested(self, _event: evt.Event) -> None:
        """Reject it where there are as many as may be: pynetdicom's own limit counts whoever only connects, too."""
        if not self._room.let_in(self):
            self.acse.send_reject(*TOO_MANY)
            self.kill()

    def _store(self, event: evt.Event) -> int:
        """The status of one C-STORE, once it is on the disk."""
        assert isinstance(event.request, C_STORE)
        transfer = event.request.DataSet
        if not isinstance(transfer, Transfer):
            return CANNOT_UNDERSTAND  # a request without a data set
        try:
            status = transfer.finish(self.requestor.ae_title, self.address)
        # pynetdicom would send the caller a status that says nothing, and log nothing here.
        except Exception as error:
            logger.error("an instance cannot be stored", exc_info=error)
            return PROCESSING_FAILURE
        finally:
            self.dimse.served(transfer)
        if transfer.instance is not None:
            self._stored[transfer.instance.series_uid] += 1
        return status

    def _end(self) -> None:
        broken_off = self.dimse.close()
        self._desk.metrics.instances("broken_off").inc(broken_off)
        outcome = self._outcome()
        self._desk.metrics.associations(outcome).inc()
        if outcome == NOT_ASKED:  # whoever looks every second whether the port is open shall not fill the log
            return
        told: dict[str, Any] = {"address": self.address, "outcome": outcome}
        if self.is_rejected:
            self._desk.refused("unknown", self.address, outcome)
        else:  # its title is one that the operator wrote down
            told |= {"caller": self.requestor.ae_title, "stored": self._stored.total(), "broken_off": broken_off}
        logger.info("an association has ended", extra={"fields": told})
        if self.is_released:
            self._all_sent()

    def _outcome(self) -> str:
        if self.requestor.primitive is None:
            return NOT_ASKED
        if self.is_rejected:
            answer = self.acceptor.primitive
            reason = (None, None) if answer is None else (answer.result_source, answer.diagnostic)
            return REJECTED.get(reason, "rejected")  # type: ignore[arg-type]  # of numbers, once it is rejected
        return "released" if self.is_released else "aborted"

    def _all_sent(self) -> None:
        """Let series of which several instances came be judged soon: who sends a series in one association is done."""
        for series_uid, count in self._stored.items():
            if count > 1:
                try:
                    self._desk.inbox.all_sent(series_uid)
                except OSError as error:  # they wait for the long pause instead
                    logger.warning("a series cannot be marked as sent: %s", error.strerror)
