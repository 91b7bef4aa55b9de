"""An archive that takes results by C-STORE (PS3.4 B)."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.association import Association

from app.delivery.destinations.destination import Outcome, Refused
from app.delivery.destinations.dicomweb import DUPLICATE_INSTANCE, NOT_AS_SENT, REFUSED_REASONS
from app.delivery.destinations.http_client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from app.errors import SettingsError
from app.reports.result import ObjectKind
from app.reports.transfer_syntax import uncompressed

PLAIN: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
STORED: Final = (range(1), range(0xB000, 0xC000))  # success, and warnings: the archive has it (PS3.7 C.3)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity: its title, host and port, and how it is spoken to by TLS."""

    title: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, text: str, tls: ssl.SSLContext | None = None) -> Self:
        """Read TITLE@HOST:PORT."""
        title, _, address = text.partition("@")
        host, _, port = address.rpartition(":")
        return cls(title, host.strip("[]"), int(port), tls)


def archive_tls(ca_file: Path | None, certificate: Path | None, key: Path | None, *, verify: bool) -> ssl.SSLContext:
    """How to speak TLS: `ca_file` adds to the system's authorities, `certificate` is shown to an archive that asks.

    Raises SettingsError.
    """
    try:
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise SettingsError(
            found=f"a certificate, key or authority that cannot be used ({getattr(error, 'reason', None) or error})",
            expected="LUNGSCOPE_CA_FILE, and LUNGSCOPE_TLS_CERTIFICATE with LUNGSCOPE_TLS_KEY, in PEM",
            remedy="Check them: openssl x509 -in CERTIFICATE -noout -text.",
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class DimseDestination:
    """Sends each result in an association of its own; one that the archive already has counts as delivered."""

    kind: ObjectKind = "dicom"

    def __init__(self, peer: Peer, title: str, name: str = "dimse") -> None:
        """`title` is our own."""
        self.name = name
        _config.LOG_HANDLER_LEVEL = "none"
        self._peer = peer
        self._title = title

    def send(self, content: bytes) -> Outcome:
        """Send one object, without compression where the archive does not take it as it is; raises Refused."""
        instance = dcmread(BytesIO(content))
        try:
            association = self._associate(instance)
        except OSError as error:
            logger.warning("a destination does not answer: %s", type(error).__name__)
            return "retry"
        try:
            return self._sent(association, instance, content)
        finally:
            association.release()

    def _associate(self, instance: Dataset) -> Association:
        ae = AE(self._title)
        ae.connection_timeout = ae.acse_timeout = CONNECT_TIMEOUT_S
        ae.dimse_timeout = ae.network_timeout = READ_TIMEOUT_S
        ae.add_requested_context(instance.SOPClassUID, instance.file_meta.TransferSyntaxUID)
        ae.add_requested_context(instance.SOPClassUID, PLAIN)
        peer = self._peer
        tls: Any = {} if peer.tls is None else {"tls_args": (peer.tls, peer.host)}
        return ae.associate(peer.host, peer.port, ae_title=peer.title, **tls)

    def _sent(self, association: Association, instance: Dataset, content: bytes) -> Outcome:
        accepted = [context.transfer_syntax[0] for context in association.accepted_contexts]
        if not association.is_established:
            if association.rejected_contexts and not accepted:
                raise Refused("no_presentation_context")
            logger.warning("a destination does not let us associate")
            return "retry"
        if instance.file_meta.TransferSyntaxUID not in accepted:
            instance = dcmread(BytesIO(uncompressed(content)))
        return _outcome(association.send_c_store(instance).get("Status"))


def _outcome(status: int | None) -> Outcome:
    """What a status says; None where there was no answer. Raises Refused."""
    if status is None:
        return "retry"
    if status == DUPLICATE_INSTANCE or any(status in span for span in STORED):
        return "delivered"
    logger.warning("a destination answered 0x%04X", status)
    if status in REFUSED_REASONS or any(status in span for span in NOT_AS_SENT):
        raise Refused(f"{status:04X}")
    return "retry"
