"""The DIMSE door: listens, and lets associations of known callers in, as many at once as may be."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from socketserver import TCPServer
from typing import Any, Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when it is imported
from pynetdicom.transport import AssociationServer, RequestHandler

from app.dimse.association import BoundedSocket, Room, StoringAssociation
from app.dimse.desk import MAX_PDU_BYTES, Desk
from app.imaging.dicom import CT_SOP_CLASSES
from app.intake import READABLE_SYNTAXES

POLL_S: Final = 0.5  # how soon the door sees that it shall close
# The first that a caller offers too is taken: what need not be decoded comes first.
FIRST_SYNTAXES: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
logger = logging.getLogger(__name__)


class DimseServer(AssociationServer):
    """Accepts connections, in one thread; each association has two of its own."""

    def __init__(self, *given: Any, desk: Desk, **named: Any) -> None:
        self.desk = desk
        self.associations: set[StoringAssociation] = set()
        self.room = Room(desk.bounds.associations)
        named["request_handler"] = _Caller
        super().__init__(*given, **named)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection. The association's thread shakes hands for TLS: here that would keep all waiting."""
        assert self.socket is not None
        connected, address = self.socket.accept()
        connected.settimeout(self.desk.bounds.patience_s)  # it does not inherit one
        if self.ssl_context is not None:
            connected = self.ssl_context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        return connected, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  # the library's interface
        """Whether a connection may ask for an association: twice as many as will get one may."""
        self.associations = {each for each in self.associations if each.is_alive()}
        if len(self.associations) < 2 * self.desk.bounds.associations:
            return True
        self.desk.metrics.associations("too_many").inc()
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Go on with the next connection."""
        logger.error("a connection cannot be taken", exc_info=True)

    def shutdown(self) -> None:
        """Accept no more connections."""
        TCPServer.shutdown(self)
        self.server_close()


class _Caller(RequestHandler):
    """Makes the association of a connection, as pynetdicom does, of our classes."""

    server: DimseServer

    def _create_association(self) -> Association:
        server, ae = self.server, self.ae
        association = StoringAssociation(ae, server.desk, server.room)
        association._server = server  # it closes the connection at the end
        association.set_socket(BoundedSocket(association, self.request, server.desk.bounds.patience_s))
        acceptor = association.acceptor
        acceptor.maximum_length = ae.maximum_pdu_size
        acceptor.ae_title = server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = ae.implementation_class_uid
        acceptor.implementation_version_name = ae.implementation_version_name
        acceptor.supported_contexts = deepcopy(server.contexts)
        association.requestor.address_info = self.remote
        server.associations.add(association)
        return association


class DimseDoor:
    """The door at one address, which it binds when it is made (OSError). It is called `title`; `callers` are the titles
    of those who may call."""

    def __init__(
        self, address: tuple[str, int], title: str, callers: Collection[str], desk: Desk, tls: ssl.SSLContext | None
    ) -> None:
        _config.LOG_HANDLER_LEVEL = "none"  # it would write down what was sent
        ae = AE(title)
        ae.require_called_aet = True
        ae.require_calling_aet = sorted(callers)
        ae.maximum_associations = 2 * desk.bounds.associations
        ae.maximum_pdu_size = MAX_PDU_BYTES
        ae.acse_timeout, ae.network_timeout = desk.bounds.request_s, desk.bounds.idle_s
        syntaxes = [*FIRST_SYNTAXES, *sorted(READABLE_SYNTAXES.difference(FIRST_SYNTAXES))]
        ae.add_supported_context(Verification)
        for sop_class in CT_SOP_CLASSES:
            ae.add_supported_context(sop_class, syntaxes)
        server = ae.make_server(address, ssl_context=tls, server_class=DimseServer, desk=desk)
        assert isinstance(server, DimseServer)
        self._server = server
        desk.metrics.open.set_function(lambda: sum(each.is_established for each in tuple(server.associations)))
        self._thread = threading.Thread(target=self._server.serve_forever, args=[POLL_S], daemon=True)

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return int(self._server.server_address[1])

    @contextmanager
    def opened(self, drain_s: float) -> Iterator[None]:
        """Let callers in within the block. After it associations may go on for `drain_s`, and are aborted then."""
        self._thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            until = time.monotonic() + drain_s
            for association in self._server.associations:
                association.join(max(0.0, until - time.monotonic()))
            for association in self._server.associations:
                if association.is_alive():
                    association.abort()
