"""A real Orthanc with its DICOMweb plug-in, on the configuration that docs/pacs.md hands out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import urllib3

from benchmarks.serving.service import free_port
from tests.conftest import REPOSITORY
from tests.reports.conftest import absent

DEBIANS: Final = Path("/etc/orthanc")
PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE_S: Final = 180
DCMTK: Final = {"PATH": "/usr/bin:/bin"}  # pynetdicom has programs of the same names, with other options


class Orthanc:
    """Orthanc as a child process on a copy of Debian's /etc/orthanc under `folder`, set up by the commands of
    docs/pacs.md, forwarding to the service at `lungscope_port`."""

    def __init__(self, folder: Path, lungscope_port: int, token: str) -> None:
        self.port, self.dicom_port = free_port(), free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self._http = urllib3.PoolManager(timeout=PATIENCE_S, retries=urllib3.Retry(connect=200, backoff_factor=0.1))
        etc = folder / "etc"
        etc.mkdir()
        for file in DEBIANS.glob("*.json"):
            shutil.copyfile(file, etc / file.name)
        commands = page_commands("pacs.md", "cp deploy/orthanc/dicomweb.json").replace(str(DEBIANS), str(etc))
        commands = commands.replace("service orthanc restart", "")
        environment = {"LUNGSCOPE_API_TOKEN": token, "PATH": "/usr/bin:/bin"}
        subprocess.run(["sh", "-e", "-c", commands], cwd=REPOSITORY, env=environment, check=True)
        replace_in(etc / "dicomweb.json", {":8000/": f":{lungscope_port}/"})
        own = {
            '"HttpPort" : 8042': f'"HttpPort" : {self.port}',
            '"DicomPort" : 4242': f'"DicomPort" : {self.dicom_port}',
            "/var/lib/orthanc/db-v6": str(folder / "storage"),
            '"StableAge" : 15': '"StableAge" : 1',
        }
        replace_in(etc / "orthanc.json", own)
        self._log = (folder / "orthanc.log").open("wb")
        self.process = subprocess.Popen(["Orthanc", str(etc)], cwd=folder, stdout=self._log, stderr=subprocess.STDOUT)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """One answer, whatever its status."""
        return self._http.request("GET", self.root + path, headers=headers)

    def json(self, path: str) -> Any:
        """What a resource says."""
        response = self.get(path)
        assert response.status == 200, response.data
        return response.json()

    def upload(self, data: bytes) -> None:
        """Store one instance."""
        assert self._http.request("POST", self.root + "/instances", body=data).status == 200

    def send(self, series: str, title: str, port: int) -> None:
        """Send a series on by C-STORE."""
        modality = f"{self.root}/modalities/{title.lower()}"
        peer = {"AET": title, "Host": "127.0.0.1", "Port": port}
        assert self._http.request("PUT", modality, json=peer).status == 200
        assert self._http.request("POST", f"{modality}/store", json=[series]).status == 200

    def store(self, files: list[Path]) -> None:
        """Send files by C-STORE, as a modality does."""
        command = ["storescu", "-aec", "ORTHANC", "127.0.0.1", str(self.dicom_port), *map(str, files)]
        subprocess.run(command, env=DCMTK, check=True)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._log.close()


def page_commands(page: str, first: str) -> str:
    """The block of shell commands in a page of the documentation that begins with the words given."""
    blocks = (REPOSITORY / "docs" / page).read_text("utf-8").split("```sh\n")[1:]
    (found,) = (block.split("```")[0] for block in blocks if block.startswith(first))
    return found


def replace_in(file: Path, texts: dict[str, str]) -> None:
    """Replace texts that must be in a file."""
    content = file.read_text("utf-8")
    for old, new in texts.items():
        assert old in content, old
        content = content.replace(old, new)
    file.write_text(content, "utf-8")


def require_orthanc() -> None:
    """Skip, or fail where nothing may be skipped, unless there is one."""
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        absent("Orthanc with its DICOMweb plug-in not found: make interop-tools")


@pytest.fixture
def lidc_0012(shared_data: Path) -> list[bytes]:
    """The files of one whole chest CT."""
    return [path.read_bytes() for path in sorted((shared_data / "series" / "lidc-0012").rglob("*.dcm"))]
