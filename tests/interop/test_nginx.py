"""docs/proxies.md as written: the service behind nginx, with TLS and below a path."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
import urllib3
from pydicom import dcmread

from app.delivery.database.store import ResultStore
from app.reports.result import ResultObject
from benchmarks.serving.service import Service, free_port
from phantoms.series import SLICES, slice_file
from tests.api.dicomweb.test_dicomweb import RELATED, related
from tests.api.dicomweb.test_manners import file_of, picture
from tests.conftest import REPOSITORY
from tests.interop.conftest import replace_in
from tests.reports.conftest import absent

pytestmark = pytest.mark.interop
CONFIGURATION: Final = REPOSITORY / "deploy" / "nginx" / "lungscope.conf"
WHOLE: Final = """
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include lungscope.conf;
}
"""


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[str, urllib3.PoolManager]]:
    """The address of the service as clients see it, and a client that trusts the proxy's certificate."""
    if shutil.which("nginx") is None:
        absent("nginx not found: make interop-tools")
    port, tls_port, folder = free_port(), free_port(), tmp_path / "nginx"
    folder.mkdir()
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files], check=True
    )
    (folder / "nginx.conf").write_text(WHOLE)
    shutil.copy(CONFIGURATION, folder)
    own = {
        "127.0.0.1:8000": f"127.0.0.1:{port}",
        "listen 443 ssl": f"listen 127.0.0.1:{tls_port} ssl",
        "/etc/ssl/certs/lungscope.pem": str(folder / "certificate.pem"),
        "/etc/ssl/private/lungscope.key": str(folder / "key.pem"),
    }
    replace_in(folder / "lungscope.conf", own)
    service = Service(
        port=port,
        environment={"LUNGSCOPE_ROOT_PATH": "/lungscope", "LUNGSCOPE_SPOOL_DIR": str(tmp_path / "state")},
    )
    nginx = subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf", "-g", "daemon off;"])
    service.wait_until_ready()
    content = file_of(picture())
    attributes = dcmread(BytesIO(content), stop_before_pixels=True).to_json()
    result = ResultObject("1.4", "dicom", "1.2", "1.3", attributes, content)
    ResultStore(tmp_path / "state" / "results.sqlite3").put("claim", [result], {}, now=0, expires_at=4e9)
    tls = ssl.create_default_context(cafile=folder / "certificate.pem")
    yield f"https://localhost:{tls_port}/lungscope", urllib3.PoolManager(ssl_context=tls)
    nginx.terminate()
    nginx.wait(30)
    service.process.terminate()
    assert service.end() == 0


def test_behind_nginx_every_address_leads_back(proxied: tuple[str, urllib3.PoolManager]) -> None:
    root, client = proxied
    (found,) = client.request("GET", f"{root}/dicom-web/instances").json()
    (address,) = found["00081190"]["Value"]
    assert address == f"{root}/dicom-web/studies/1.2/series/1.3/instances/1.4"
    assert client.request("GET", f"{address}/rendered").headers["content-type"] == "image/jpeg"
    assert client.request("GET", root, redirect=True).status == 200
    document = client.request("GET", f"{root}/openapi.json").json()
    assert document["servers"] == [{"url": "/lungscope"}]
    assert client.request("GET", f"{root}/docs/assets/swagger/swagger-ui.css").status == 200
    sent = related([slice_file(index) for index in range(SLICES)])
    assert (
        client.request("POST", f"{root}/dicom-web/studies", body=sent, headers={"Content-Type": RELATED}).status == 200
    )
    study = dcmread(BytesIO(slice_file(0)), stop_before_pixels=True).StudyInstanceUID
    status = client.request("GET", f"{root}/dicom-web/studies/{study}/status").json()
    assert [series["state"] for series in status["series"]] != []
