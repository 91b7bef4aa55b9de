"""docs/pacs.md for a modality and an archive that speak DIMSE alone: DCMTK's, and Orthanc's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from benchmarks.serving.service import PATIENCE_S, Service, eventually, free_port
from phantoms.series import SLICES, slice_file
from tests.dimse.command import DimseCommand
from tests.interop.conftest import DCMTK, Orthanc, page_commands, require_orthanc
from tests.reports.conftest import absent

pytestmark = pytest.mark.interop
TOOLS = ("echoscu", "storescu", "storescp")


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """DCMTK's receiver as an archive, which takes uncompressed objects alone, at the port that is yielded."""
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=DCMTK["PATH"]) is None]:
        absent(f"{missing[0]} not found: make interop-tools")
    port = free_port()
    folder.mkdir()
    process = subprocess.Popen(["storescp", "-aet", "ARCHIVE", "-od", str(folder), str(port)], env=DCMTK)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    folder.mkdir()
    for index in range(SLICES):
        (folder / f"{index}.dcm").write_bytes(slice_file(index))
    return folder


@contextmanager
def lungscope(folder: Path, archive: str) -> Iterator[DimseCommand]:
    """The service, which sends results to an archive, and the door beside it."""
    state = {"LUNGSCOPE_SPOOL_DIR": str(folder / "state")}
    service = Service(environment={**state, "LUNGSCOPE_DELIVER_DIMSE": archive})
    command = DimseCommand(folder / "state", folder / "log")
    service.wait_until_ready()
    try:
        yield command
    finally:
        ended = command.end()
        service.process.terminate()
        served = service.end()
    assert ended == served == 0


def test_a_series_by_storescu_ends_in_results_by_c_store(tmp_path: Path, series: Path) -> None:
    with storescp(tmp_path / "archive") as port, lungscope(tmp_path, f"ARCHIVE@127.0.0.1:{port}") as command:
        sent = page_commands("pacs.md", "echoscu").replace("11112", str(command.port))
        sent = sent.replace("/path/to/series", str(series))
        subprocess.run(["sh", "-e", "-c", sent], env=DCMTK, check=True)
        report = eventually(lambda: report_in(tmp_path / "archive"))
        assert report is not None
        assert report.StudyInstanceUID == dcmread(series / "0.dcm").StudyInstanceUID
        stranger = ["echoscu", "-aet", "STRANGER", "-aec", "LUNGSCOPE", "127.0.0.1", str(command.port)]
        assert subprocess.run(stranger, env=DCMTK, check=False).returncode


def test_orthanc_sends_and_gets_by_c_store(tmp_path: Path, series: Path) -> None:
    require_orthanc()
    orthanc = Orthanc(tmp_path, free_port(), "nobody listens to STOW-RS")
    with lungscope(tmp_path, f"ORTHANC@127.0.0.1:{orthanc.dicom_port}") as command:
        orthanc.json("/system")
        orthanc.store(sorted(series.iterdir()))
        (found,) = orthanc.json("/series")
        orthanc.send(found, "LUNGSCOPE", command.port)
        (study,) = orthanc.json("/studies")
        eventually(
            lambda: "SR" in {each["MainDicomTags"]["Modality"] for each in orthanc.json(f"/studies/{study}/series")}
        )
    orthanc.end()


def modalities(orthanc: Orthanc, study: str) -> set[str]:
    return {each["MainDicomTags"]["Modality"] for each in orthanc.json(f"/studies/{study}/series")}


def report_in(folder: Path) -> Dataset | None:
    """The structured report, once it is there and whole."""
    for path in folder.iterdir():
        found = dcmread(path, force=True)
        if found.get("SOPClassUID") == Comprehensive3DSRStorage and "ContentSequence" in found:
            return found
    return None
