"""A DICOMweb archive with CT series, as much of it as fetching needs (QIDO-RS studies and series, WADO-RS series and
metadata), that can fail in many ways."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BOUNDARY = "of the archive"
Series = dict[str, list[bytes]]


class Archive:
    """Series of studies by their UIDs.

    `began` has the date and time of each study that can be looked for, `page` how many of them there are in an answer
    at most, `described` the Series Description and Body Part Examined of some series, and `metadata` that of some.
    `faults` are done one after the other, each instead of an answer; `asked` are the requests so far, with what they
    showed to be let in.
    """

    def __init__(self) -> None:
        self.studies: dict[str, Series] = {}
        self.modalities: dict[str, str] = {}
        self.faults: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.asked: list[tuple[str, str]] = []
        self.matches_modality = True
        self.began: dict[str, tuple[str, str]] = {}
        self.page = 1000
        self.described: dict[str, tuple[str, str]] = {}
        self.metadata: dict[str, list[dict[str, Any]]] = {}
        self.url = ""

    def found(self, study: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """The series of a study as DICOM JSON."""
        wanted = query.get("Modality", [""])[0] if self.matches_modality else ""
        return [
            {
                "00080060": {"vr": "CS", "Value": [self.modalities.get(uid, "CT")]},
                "0020000E": {"vr": "UI", "Value": [uid]},
                **_texts(("0008103E", "00180015"), self.described.get(uid, ())),
            }
            for uid in self.studies.get(study, {})
            if wanted in ("", self.modalities.get(uid, "CT"))
        ]

    def studies_of(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """The studies of a range of days as DICOM JSON, of the page that is asked for."""
        first, last = query["StudyDate"][0].split("-")
        found = [uid for uid, (date, _) in self.began.items() if not date or first <= date <= last]
        at = int(query["offset"][0])
        return [
            {"0020000D": {"vr": "UI", "Value": [uid]}, **_texts(("00080020", "00080030"), self.began[uid])}
            for uid in found[at : at + min(self.page, int(query["limit"][0]))]
        ]

    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for path, _ in self.asked]


def _texts(tags: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    return {tag: {"vr": "LO", "Value": [value]} for tag, value in zip(tags, values, strict=False) if value}


def related(files: list[bytes]) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + data + b"\r\n" for data in files) + f"--{BOUNDARY}--\r\n".encode()


def respond(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", content_type: str = "text/plain") -> None:
    request.send_response(status)
    request.send_header("Content-Type", content_type)
    request.send_header("Content-Length", str(len(body)))
    if status == 302:
        request.send_header("Location", "/elsewhere")
    request.end_headers()
    request.wfile.write(body)


def answer_with(status: int, body: bytes = b"", content_type: str = "text/plain") -> Any:
    """A fault: another answer than that which was asked for."""
    return lambda request: respond(request, status, body, content_type)


def cut_off(request: BaseHTTPRequestHandler) -> None:
    """A fault: half of what was announced, then nothing."""
    request.send_response(200)
    request.send_header("Content-Type", f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"')
    request.send_header("Content-Length", "100000")
    request.end_headers()
    request.wfile.write(related([b"x" * 100])[:60])
    request.close_connection = True


@contextmanager
def serving(archive: Archive) -> Iterator[Archive]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            archive.asked.append((self.path, self.headers.get("Authorization", "")))
            if archive.faults:
                archive.faults.pop(0)(self)
                return
            address = urlsplit(self.path)
            study, *rest = address.path.removeprefix("/dicom-web/studies").strip("/").split("/")
            if not study:
                found = archive.studies_of(parse_qs(address.query))
                respond(self, 200, json.dumps(found).encode(), "application/dicom+json")
            elif rest == ["series"]:
                found = archive.found(study, parse_qs(address.query))
                respond(self, 200, json.dumps(found).encode(), "application/dicom+json")
            elif rest[2:] == ["metadata"] and rest[1] in archive.metadata:
                respond(self, 200, json.dumps(archive.metadata[rest[1]]).encode(), "application/dicom+json")
            elif len(rest) == 2 and rest[1] in archive.studies.get(study, {}):
                body = related(archive.studies[study][rest[1]])
                respond(self, 200, body, f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"')
            else:
                respond(self, 404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    archive.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
