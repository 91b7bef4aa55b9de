"""A real Orthanc with its DICOMweb plug-in, on the configuration that docs/pacs.md hands out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import urllib3

from benchmarks.serving.service import free_port
from tests.conftest import REPOSITORY
from tests.reports.conftest import absent

RECIPE: Final = REPOSITORY / "deploy" / "orthanc"
PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE_S: Final = 180


class Orthanc:
    """Orthanc as a child process, its data under `folder`, forwarding to the service at `lungscope_port`."""

    def __init__(self, folder: Path, lungscope_port: int, token: str) -> None:
        self.port = free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self._http = urllib3.PoolManager(timeout=PATIENCE_S, retries=urllib3.Retry(connect=200, backoff_factor=0.1))
        recipe = (RECIPE / "orthanc.json").read_text("utf-8")
        settings = json.loads(re.sub(r"^\s*//.*$", "", recipe, flags=re.MULTILINE))
        forward = settings["DicomWeb"]["Servers"]["lungscope"]
        forward["Url"] = forward["Url"].replace(":8000", f":{lungscope_port}")
        forward["HttpHeaders"]["Authorization"] = f"Bearer {token}"
        settings |= {"HttpPort": self.port, "DicomServerEnabled": False, "StableAge": 1}
        settings |= {"StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage")}
        (folder / "orthanc.json").write_text(json.dumps(settings), "utf-8")
        shutil.copy(RECIPE / "lungscope.lua", folder)
        self._log = (folder / "orthanc.log").open("wb")
        self.process = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], cwd=folder, stdout=self._log, stderr=subprocess.STDOUT
        )

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

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._log.close()


def require_orthanc() -> None:
    """Skip, or fail where nothing may be skipped, unless there is one."""
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        absent("Orthanc with its DICOMweb plug-in not found: make interop-tools")


@pytest.fixture
def lidc_0012(shared_data: Path) -> list[bytes]:
    """The files of one whole chest CT."""
    return [path.read_bytes() for path in sorted((shared_data / "series" / "lidc-0012").rglob("*.dcm"))]
