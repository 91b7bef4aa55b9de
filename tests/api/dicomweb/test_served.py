"""DICOMweb of the shipped service, behind a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from benchmarks.serving.service import Service, eventually
from phantoms.series import SLICES, slice_file
from tests.api.dicomweb.test_dicomweb import RELATED, STUDIES


@pytest.fixture(scope="module")
def spooling(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Service]:
    """The shipped models behind a socket, with a spool."""
    folder = str(tmp_path_factory.mktemp("state"))
    settings = {"LUNGSCOPE_SPOOL_DIR": folder, "LUNGSCOPE_SETTLE_SECONDS": "0", "LUNGSCOPE_SERVER": server}
    service = Service(environment=settings)
    service.wait_until_ready()
    yield service
    service.process.terminate()
    assert service.end() == 0


def test_announced_gigabytes_are_refused_unread(spooling: Service) -> None:
    head = f"POST {STUDIES} HTTP/1.1\r\nHost: x\r\nContent-Type: {RELATED}\r\nContent-Length: 2147483648\r\n\r\n"
    with spooling.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_dicomweb_client_sends_and_fetches(spooling: Service) -> None:
    series = [slice_file(index) for index in range(SLICES)]
    sender = DICOMwebClient(url=spooling.url("/dicom-web"))
    answer = sender.store_instances([dcmread(DicomBytesIO(data)) for data in series])
    assert len(answer.ReferencedSOPSequence) == SLICES
    study = str(dcmread(DicomBytesIO(series[0])).StudyInstanceUID)
    found = eventually(lambda: sender.search_for_instances(study))
    fetched = sender.retrieve_study(study)
    assert {each.SOPInstanceUID for each in fetched} == {one["00080018"]["Value"][0] for one in found}
    assert len(sender.retrieve_study_metadata(study)) == len(found)
    assert len(sender.search_for_studies(search_filters={"StudyInstanceUID": study})) == 1
