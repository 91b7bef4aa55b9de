"""What an answer must be: of a status that the contract declares, never 500, and readable as what it says it is."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final
from xml.etree import ElementTree

import pydicom

from benchmarks.fuzz.mutants import ODD_ACCEPTS, PATHS, RELATED, Door, Mutant

PROBLEM: Final = "application/problem+json"
DICOM_JSON: Final = "application/dicom+json"
DATASETS: Final = (DICOM_JSON, "application/json")  # what STOW-RS answers in, the former unless the latter is asked for
DICOM_XML: Final = "application/dicom+xml"
EVENTS: Final = "application/x-ndjson"
MAX_SECONDS: Final = 5.0
INTERNAL: Final = 500
REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
GIVEN: Final = {"application/dicom": "multipart/related", RELATED: "multipart/related"}
# How what is neither JSON nor DICOM begins and ends.
BEGIN_AND_END: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    "text/html": (b"<!DOCTYPE html>", b"</html>"),
    "application/pdf": (b"%PDF-", b"%%EOF"),
}
BOUNDARY: Final = re.compile(r'boundary="?([^";]+)')
LEADING_ZERO: Final = r"[0-9.]*(?:^|\.)0[0-9][0-9.]*"  # in a component of a UID (PS3.5 9.1 forbids it)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; status 0 where nothing did, and why in `content`."""

    status: int
    content_type: str
    content: bytes
    seconds: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether the request was taken."""
        return 200 <= self.status < 300


class Contract:
    """The OpenAPI document of the service."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._declared = {
            door: {int(status) for status in document["paths"][path]["post"]["responses"]}
            for door, path in PATHS.items()
        }

    def faults(self, mutant: Mutant, reply: Reply) -> list[str]:
        """What is wrong with an answer; nothing where it is as it should be."""
        return list(self._faults(mutant, reply))

    def _faults(self, mutant: Mutant, reply: Reply) -> Iterator[str]:
        if reply.status == 0:
            yield f"no answer: {reply.content.decode(errors='replace')}"
            return
        if reply.status not in self._declared[mutant.door] or reply.status == INTERNAL:
            yield f"status {reply.status}"
        if reply.seconds > MAX_SECONDS:
            yield f"more than {MAX_SECONDS:g} s"
        try:
            yield from _of_content(mutant, reply, self._declared[mutant.door])
        # Whatever a reader meets in an answer that is not what it says it is.
        except Exception as error:
            yield f"an answer that cannot be read: {type(error).__name__}"


def _of_content(mutant: Mutant, reply: Reply, declared: set[int]) -> Iterator[str]:
    kind = reply.content_type.partition(";")[0].strip()
    if mutant.door == "stow" and kind in DATASETS:
        pydicom.Dataset.from_json(json.dumps(_strict(reply.content)))
    elif mutant.door == "stow" and kind == DICOM_XML:
        ElementTree.fromstring(reply.content)
    elif reply.status >= 400:
        yield from _of_problem(_strict(reply.content), reply.status, kind)
    elif mutant.accept not in ODD_ACCEPTS and kind != _expected(mutant.door, mutant.accept):
        yield f"{kind} for Accept {mutant.accept}"
    elif kind == EVENTS:
        yield from _of_events(reply.content, declared)
    elif kind == "multipart/related":
        yield from _of_objects(reply)
    elif kind in BEGIN_AND_END:
        begin, end = BEGIN_AND_END[kind]
        if not (reply.content.startswith(begin) and reply.content.rstrip().endswith(end)):
            yield f"no whole {kind}"
        if kind == "text/html" and REPLACED in reply.content.decode():
            yield f"a character that stands for none in {kind}"
    else:
        _strict(reply.content)
        if REPLACED in (text := reply.content.decode()) or "\\u0000" in text:
            yield f"a character that stands for none in {kind}"


def _expected(door: Door, accept: str | None) -> str:
    if door == "stow":
        return DICOM_JSON
    return GIVEN.get(accept or "*/*", "application/json" if accept in (None, "*/*") else accept or "")


def _of_problem(content: Any, status: int, kind: str) -> Iterator[str]:
    if kind != PROBLEM or not content.get("code") or content.get("status") != status:
        yield f"status {status} without a problem that says so"


def _of_events(content: bytes, declared: set[int]) -> Iterator[str]:
    last = [_strict(line) for line in content.splitlines()][-1]
    if last["event"] == "problem" and (last["status"] == INTERNAL or last["status"] not in declared):
        yield f"status {last['status']} at the end of the events"
    elif last["event"] not in ("result", "problem"):
        yield "events without an end"


def _of_objects(reply: Reply) -> Iterator[str]:
    found = BOUNDARY.search(reply.content_type)
    delimiter = b"--" + (found[1] if found else "").encode()
    parts = reply.content.split(b"\r\n" + delimiter if not reply.content.startswith(delimiter) else delimiter)
    objects = [part.partition(b"\r\n\r\n")[2] for part in parts[:-1] if b"\r\n\r\n" in part]
    if not objects:
        yield "no DICOM objects"
    for data in objects:
        with warnings.catch_warnings():
            # pydicom warns of every value that the standard does not allow.
            warnings.simplefilter("error")
            # Real archives hold such UIDs, and a result must name its source by the one it has.
            warnings.filterwarnings("ignore", rf"Invalid value for VR UI: '{LEADING_ZERO}'")
            texts = [str(element.value) for element in pydicom.dcmread(BytesIO(data)).iterall() if element.VR != "OW"]
        if any(REPLACED in text for text in texts):
            yield "a character that stands for none in a DICOM object"


def _strict(content: bytes) -> Any:
    """JSON without what RFC 8259 does not know: NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(content, parse_constant=refuse)
