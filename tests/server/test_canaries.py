"""Patient data sent by every route, well and badly, to a service that logs all it can: it is found only where it
belongs."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import urllib3
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.api.routes.docs import EXAMPLE_SLICE
from app.security.scopes import OPERATIONS
from benchmarks.serving.processes import tree_of
from benchmarks.serving.service import PATIENCE_S, Service, eventually
from phantoms.series import SLICES, slice_file, zipped
from tests.api.dicomweb.ups_client import element, input_item, workitem
from tests.servers import OURS

# Each where that kind of data stands; none is part of another, and none occurs by chance.
NAME, PATIENT_ID, ACCESSION, WORD = "QUEBECCANARY^JANE", "CANARYID4711", "CANARYACC0815", "CanaryWordZebra"
STUDY, SERIES, INSTANCE = "1.2.840.99999.71001", "1.2.840.99999.71002", "1.2.840.99999.71003"
CANARIES: Final = ("QUEBECCANARY", PATIENT_ID, ACCESSION, WORD, STUDY, SERIES, INSTANCE)
OF_PATIENT: Final = {
    "PatientName": NAME,
    "PatientID": PATIENT_ID,
    "AccessionNumber": ACCESSION,
    "StudyDescription": WORD,
    "StudyInstanceUID": STUDY,
    "SeriesInstanceUID": SERIES,
    "PatientComments": WORD,
}
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
AT_REST: Final = ("spool", "results.sqlite3")  # docs/pacs.md names them
FORM: Final = "canaryboundary"


def canary_slice(index: int = 8, **attributes: Any) -> bytes:
    """A slice of the patient, with more of it in the preamble."""
    data = slice_file(index, SOPInstanceUID=f"{INSTANCE}.{index}", **{**OF_PATIENT, **attributes})
    return (WORD * 12).encode()[:128] + data[128:]


def canary_picture(kind: str) -> bytes:
    """A picture with the patient in its metadata: text, comment, Exif, colour profile."""
    image = Image.effect_noise((96, 96), 60)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = WORD, NAME  # ImageDescription, Artist
    stream = io.BytesIO()
    if kind == "png":
        text = PngInfo()
        text.add_text("Patient", NAME)
        text.add_itxt("Comment", WORD)
        image.save(stream, "PNG", pnginfo=text, exif=exif, icc_profile=WORD.encode())
    elif kind == "jpeg":
        image.save(stream, "JPEG", comment=f"{NAME} {WORD}", exif=exif, icc_profile=WORD.encode())
    else:
        image.save(stream, "TIFF", description=WORD, artist=NAME, exif=exif)
    assert WORD.encode() in stream.getvalue()
    return stream.getvalue()


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form whose parts have file names of the patient."""
    head = f'--{FORM}\r\nContent-Disposition: form-data; name="{{}}"; filename="{NAME}.dcm"\r\n\r\n'
    return b"".join(head.format(name).encode() + data + b"\r\n" for name, data in parts) + f"--{FORM}--\r\n".encode()


def related(parts: list[bytes]) -> bytes:
    head = f"--{FORM}\r\nContent-Type: application/dicom\r\nContent-Location: {NAME}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{FORM}--\r\n".encode()


@dataclass(frozen=True)
class Asked:
    """One request; `good` ones must be answered 200."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    good: bool = False


def good_requests() -> Iterator[Asked]:
    series = [canary_slice(index, StudyInstanceUID=STUDY) for index in range(SLICES)]
    multipart = ("Content-Type", f"multipart/form-data; boundary={FORM}")
    stow = ("Content-Type", f'multipart/related; type="application/dicom"; boundary={FORM}')
    pages = ("text/html", "application/pdf")
    for accept in ("application/json", "application/dicom", "application/fhir+json", "image/png", *pages):
        yield Asked("POST", "/v1/predict", canary_slice(), (("Accept", accept),), good=True)
    yield Asked("POST", f"/v1/predict?{WORD}={NAME}", form(("file", canary_slice())), (multipart,), good=True)
    for kind in ("png", "jpeg", "tiff"):
        for accept in ("application/json", "image/png"):
            yield Asked("POST", "/v1/predict", canary_picture(kind), (("Accept", accept),), good=True)
    of_v2 = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [b64encode(canary_slice()).decode()]}
    request = json.dumps({"id": NAME, "inputs": [of_v2], "parameters": {WORD: NAME}}).encode()
    yield Asked("POST", "/v2/models/lungscope-slice/infer", request, good=True)
    for accept in ("application/json", "application/x-ndjson", "application/fhir+json", *pages):
        yield Asked("POST", "/v1/studies", zipped(series), (("Accept", accept),), good=True)
    report = f"{NAME} {PATIENT_ID}: an 8 mm nodule. {WORD}.".encode()
    yield Asked("POST", "/v1/studies", form(*(("files", data) for data in series), ("report", report)), (multipart,))
    yield Asked("POST", "/v1/reports", report, (("Content-Type", "text/plain"),), good=True)
    yield Asked("POST", "/dicom-web/studies", related(series), (stow,), good=True)
    yield Asked("POST", f"/dicom-web/studies/{STUDY}", related(series[:2]), (stow,), good=True)


def bad_bodies() -> Iterator[tuple[bytes, tuple[tuple[str, str], ...]]]:
    """What cannot be read, with the patient wherever a reader could quote it."""
    whole = canary_slice()
    multipart = (("Content-Type", f"multipart/form-data; boundary={FORM}"),)
    stow = (("Content-Type", f'multipart/related; type="application/dicom"; boundary={FORM}'),)
    archive, written = (("Content-Type", "application/zip"),), (("Content-Type", "application/json"),)
    yield b"", ()
    yield NAME.encode() * 1000, ()
    yield whole[:400], ()
    yield whole[: len(whole) // 2], ()
    yield canary_slice(Rows=0), ()
    yield canary_slice(RescaleSlope=None), ()
    yield canary_slice(ImageOrientationPatient=None, PixelSpacing=None), ()
    yield canary_slice(Modality="MR"), ()
    yield canary_slice(SOPClassUID=STUDY), ()
    yield whole.replace(b"1.2.840.10008.1.2.1", b"1.2.840.99999.7.100"), ()
    yield whole.replace(b"CT", WORD[:2].encode()), ()
    yield canary_picture("png")[:300], ()
    yield canary_picture("jpeg")[:300], ()
    yield zipped([whole[:500], NAME.encode()]), archive
    yield zipped([canary_slice(1), canary_slice(5, StudyInstanceUID=SERIES)]), ()
    yield zipped([whole])[:900], archive
    yield form(("file", NAME.encode()), ("roi", WORD.encode())), multipart
    yield form(("file", whole))[:700], multipart
    yield related([NAME.encode(), whole[:300]]), stow
    yield related([whole])[:700], stow
    yield json.dumps({"text": WORD, "name": NAME, "language": PATIENT_ID}).encode(), written
    yield f'{{"text": "{NAME}'.encode(), written
    yield f"{NAME}\0".encode(), (("Content-Type", f"text/plain; charset={WORD}"),)
    yield whole, (("Content-Encoding", WORD),)
    yield whole, (("Content-Encoding", "gzip"),)


def workitem_requests() -> Iterator[Asked]:
    """A workitem of the patient in every operation, well and badly; its archive is nowhere."""
    headers = (("Content-Type", "application/dicom+json"),)
    name = {"00100010": element("PN", {"Alphabetic": NAME}), "00100020": element("LO", PATIENT_ID)}
    patient = {**name, "00400400": element("LT", WORD), "00080050": element("SH", ACCESSION)}
    step = workitem(input_item(STUDY, SERIES)) | patient
    path = f"/dicom-web/workitems/{INSTANCE}"
    reason = {"00741238": element("LT", WORD)}
    claim = {"00741000": element("CS", "IN PROGRESS"), "00081195": element("UI", STUDY)}
    asked = (
        *(("POST", f"/dicom-web/workitems?{INSTANCE}", each) for each in (step, step, {**step, "00100040": WORD})),
        *(("POST", f"/dicom-web/workitems?{INSTANCE}.1", {**step, tag: element("PN", NAME)}) for tag in step),
        ("POST", path, {"00400400": element("LT", WORD)}),
        ("POST", path, patient),
        ("POST", f"{path}?transaction={WORD}", {}),
        ("PUT", f"{path}/state", claim),
        ("POST", f"{path}/cancelrequest", reason),
        ("POST", f"{path}/subscribers/{WORD}", {}),
        ("POST", f"/v1/pull?{WORD}", {"study_instance_uid": STUDY, "series_instance_uids": [SERIES]}),
    )
    for method, place, body in asked:
        sent = (("Content-Type", "application/json"),) if place.startswith("/v1") else headers
        yield Asked(method, place, json.dumps(body).encode(), sent)
    for accept in ("application/dicom+json", "application/dicom+xml", WORD):
        yield Asked("GET", path, headers=(("Accept", accept),))
        yield Asked("GET", f"/dicom-web/workitems?PatientName={NAME}&{WORD}=1", headers=(("Accept", accept),))


def bad_requests() -> Iterator[Asked]:
    """Every operation by every method, with the patient in path, query and headers, and all bad bodies where one is
    read."""
    query = f"?{WORD}={PATIENT_ID}&roi={WORD}&frame={NAME}&PatientID={PATIENT_ID}&limit={WORD}&language={WORD}"
    query += f"&AccessionNumber={ACCESSION}&{WORD}"
    names = ("User-Agent", "Referer", "Cookie", "From", "X-Request-ID", "Accept-Language")
    talk = tuple((name, WORD) for name in names)
    for _, template in OPERATIONS:
        path = template
        for name, value in {"study": STUDY, "series": SERIES, "instance": INSTANCE, "name": WORD}.items():
            path = path.replace(f"{{{name}}}", value)
        for method in METHODS:
            yield Asked(method, path, headers=talk)
            yield Asked(method, path + query, headers=(*talk, ("Accept", f"application/{WORD}")))
        yield Asked("GET", f"{path.rstrip('/')}/{WORD}", headers=(*talk, ("Authorization", f"Bearer {WORD}")))
        yield Asked("GET", path, headers=(("Expect", WORD),))
        yield Asked("GET", path, headers=(("Host", f"{WORD}.example"),))
    for method, template in OPERATIONS:
        if method == "POST":
            path = template.replace("{study}", STUDY).replace("{name}", "lungscope-slice")
            for body, headers in bad_bodies():
                yield Asked("POST", path, body, headers)
                yield Asked("POST", path + query, body, (*headers, *talk))


def raw_requests() -> Iterator[bytes]:
    """What no client library sends."""
    yield f"{WORD} / HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    yield f"GET /{NAME} HTTP/9.9\r\nHost: x\r\n\r\n".encode()
    yield f"GET / HTTP/1.1\r\n{NAME}\r\n\r\n".encode()
    yield f"GET / HTTP/1.1\r\nHost: {NAME} {WORD}\r\n\r\n".encode()
    yield f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {WORD}\r\n\r\n".encode()
    yield f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{WORD}\r\n".encode()
    yield f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{NAME}".encode()  # and goes away
    yield NAME.encode() * 100 + b"\r\n\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("canaries")
    for name in ("state", "tmp"):
        (made / name).mkdir(mode=0o700)
    return made


@pytest.fixture(scope="module")
def service(server: str, folder: Path) -> Iterator[Service]:
    """Two workers that log all they can, keep a trail and decode in cells; they write under `folder` alone."""
    environment = {
        "LUNGSCOPE_SERVER": server,
        "LUNGSCOPE_LOG_LEVEL": "debug",
        "LUNGSCOPE_SPOOL_DIR": str(folder / "state"),
        "LUNGSCOPE_PULL_URL": "http://127.0.0.1:9/dicom-web",
        "LUNGSCOPE_AUDIT_DIR": str(folder / "audit"),
        "LUNGSCOPE_DECODING": "cell",
        "LUNGSCOPE_SETTLE_SECONDS": "0",
        "LUNGSCOPE_QUIET_SECONDS": "0",
        "TMPDIR": str(folder / "tmp"),
    }
    service = Service(workers=2, environment=environment)
    for _ in range(2):  # each worker
        service.wait_until_ready()
    yield service
    service.process.kill()


def found_in(text: str | bytes) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    return [canary for canary in CANARIES if canary.encode() in raw]


def send(pool: urllib3.PoolManager, service: Service, asked: Asked) -> urllib3.BaseHTTPResponse:
    headers = urllib3.HTTPHeaderDict(list(asked.headers))
    return pool.request(
        asked.method, service.url(asked.path), body=asked.body or None, headers=headers, redirect=False, retries=False
    )


def is_result(asked: Asked, answer: urllib3.BaseHTTPResponse) -> bool:
    """Whether the patient belongs into the answer: what was made of an image or a report, or is found by DICOMweb."""
    answered = answer.status < 400 or answer.headers.get("content-type") == "application/dicom+json"
    results = ("/v1/predict", "/v1/studies", "/v1/reports", "/v2/models/lungscope-slice/infer", "/dicom-web")
    return answered and asked.path.startswith(results)


@OURS
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_patient_data_is_found_only_where_it_belongs(service: Service, folder: Path) -> None:
    with urllib3.PoolManager(timeout=PATIENCE_S) as pool:
        statuses: set[int] = set()
        for asked in (*good_requests(), *workitem_requests(), *bad_requests()):
            answer = send(pool, service, asked)
            statuses.add(answer.status)
            assert answer.status != 500, (asked.method, asked.path, asked.headers)
            if asked.good:
                assert answer.status == 200, (asked, answer.data[:500])
            if not is_result(asked, answer):
                said = answer.data + repr(dict(answer.headers)).encode()
                assert not found_in(said), (asked.method, asked.path, answer.data[:300])
            if asked.good and answer.headers["content-type"].startswith("image/png"):
                assert not found_in(answer.data)
        assert {200, 201, 202, 400, 404, 405, 406, 409, 415, 417, 421, 422} <= statuses
        for text in raw_requests():
            with service.connect() as connection:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                assert not found_in(b"".join(iter(lambda: connection.recv(65_536), b"")))
        eventually(lambda: json.loads(pool.request("GET", service.url("/dicom-web/instances")).data))
        assert not found_in(pool.request("GET", service.url("/metrics")).data)
    assert_disk_is_clean(folder)
    log = crash_of_a_worker(service, folder)
    service.process.terminate()
    log += service.rest_of_log()
    assert log.count('"logger": "lungscope.access"') > len(OPERATIONS) * len(METHODS)
    assert not found_in(log), [line for line in log.splitlines() if found_in(line)][:3]
    assert "Traceback" not in log
    assert_disk_is_clean(folder)


def assert_disk_is_clean(folder: Path) -> None:
    """No file is named after the patient, and none but spool and results holds anything of them."""
    for path in folder.rglob("*"):
        assert not found_in(str(path.relative_to(folder)))
        within = path.relative_to(folder).parts
        if path.is_file() and not (within[0] == "state" and within[1].startswith(AT_REST)):
            assert not found_in(path.read_bytes()), path


def crash_of_a_worker(service: Service, folder: Path) -> str:
    """The log until decoders and workers have crashed with an image in their memory, none of which they write
    anywhere."""
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()
    workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    decoders = [pid for pid in tree_of(parent) if b"app.cell.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert decoders
    for pid in (parent, *workers, *decoders):
        (core,) = [line for line in Path(f"/proc/{pid}/limits").read_text("ascii").splitlines() if "core file" in line]
        assert core.split()[4:6] == ["0", "0"]
    log = ""
    with service.connect() as connection:
        data = canary_slice()
        head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
        connection.sendall(head + data[:-9])
        for pid in (*decoders, *workers):
            os.kill(pid, signal.SIGSEGV)
        for line in service.log():
            log += line
            if "died (-11)" in line:
                break
    assert not [path for path in (*folder.rglob("core*"), *Path.cwd().glob("core*")) if path.is_file()]
    return log


def test_the_example_of_the_documentation_is_nobody() -> None:
    assert not found_in(EXAMPLE_SLICE.read_bytes())
