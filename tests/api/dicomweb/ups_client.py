"""A client of UPS-RS (PS3.18 11), ours, as no kept one was found: it speaks as a workflow manager and as a performer.

It knows nothing of the service: tags are written out as the standard has them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import urllib3

Dataset = dict[str, Any]
# Attributes by their tags (PS3.4 table CC.2.5-3).
STATE, TRANSACTION, SOP_INSTANCE = "00741000", "00081195", "00080018"
PRIORITY, LABEL, WORKLIST_LABEL, START, READINESS = "00741200", "00741204", "00741202", "00404005", "00404041"
STATIONS, WORKITEM_CODES, INPUT = "00404025", "00404018", "00404021"
PROGRESS, PERFORMED = "00741002", "00741216"
PERCENT, WORDS, CANCELED_AT, REASONS, REASON = "00741004", "00741006", "00404052", "0074100E", "00741238"
STARTED, ENDED, PERFORMED_CODES, PERFORMED_STATIONS, OUTPUT = "00404050", "00404051", "00404019", "00404028", "00404033"
STUDY, SERIES, CODE, SCHEME, MEANING = "0020000D", "0020000E", "00080100", "00080102", "00080104"
REFERENCED, CLASS, INSTANCE, WADO, ADDRESS = "00081199", "00081150", "00081155", "0040E025", "00081190"
EMPTY_SEQUENCES = (
    *("00741210", STATIONS, "00404026", "00404027", WORKITEM_CODES, INPUT, "00101002", "00380014"),
    *("00081084", "0040A370", PROGRESS, PERFORMED),
)


class Http(Protocol):
    """What the client needs of an HTTP library."""

    def request(self, method: str, url: str, *, content: bytes | None = None, headers: dict[str, str]) -> Any:
        """The answer, with `status_code`, `headers`, `content` and `json`."""


@dataclass
class Answer:
    """An answer of urllib3, with the names of others."""

    status_code: int
    headers: Any
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class OverUrllib3:
    """HTTP to an address, asked again while nobody is there."""

    def __init__(self, address: str, **headers: str) -> None:
        retries = urllib3.Retry(connect=20, read=20, backoff_factor=0.1, allowed_methods=None)
        self._pool = urllib3.PoolManager(retries=retries)
        self._address, self._headers = address, headers

    def request(self, method: str, url: str, *, content: bytes | None = None, headers: dict[str, str]) -> Answer:
        """The answer, whatever its status."""
        answer = self._pool.request(method, self._address + url, body=content, headers=self._headers | headers)
        return Answer(answer.status, answer.headers, answer.data)


def element(vr: str, *values: Any) -> Dataset:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return {CODE: element("SH", value), SCHEME: element("SH", scheme), MEANING: element("LO", meaning)}


def input_item(study: str, series: str | None = None) -> Dataset:
    """What is to be judged: a study, or one series of it."""
    item = {"0040E020": element("CS", "DICOM"), STUDY: element("UI", study)}
    return item | ({SERIES: element("UI", series)} if series else {})


def workitem(*inputs: Dataset, station: str | None = None) -> Dataset:
    """A workitem as a workflow manager writes it: all that N-CREATE needs."""
    stations = [code(station, "99SITE", "A station")] if station else []
    return {
        TRANSACTION: element("UI"),
        STATE: element("CS", "SCHEDULED"),
        PRIORITY: element("CS", "MEDIUM"),
        LABEL: element("LO", "Lung nodules"),
        WORKLIST_LABEL: element("LO"),
        START: element("DT", "20261201080000+0100"),
        READINESS: element("CS", "READY"),
        "00400400": element("LT"),
        "00100010": element("PN", {"Alphabetic": "Doe^Jane", "Ideographic": "王^小东"}),
        "00100020": element("LO", "A-17"),
        "00100030": element("DA", "19500101"),
        "00100040": element("CS", "F"),
        "00380010": element("LO"),
        "00081080": element("LO"),
        **{tag: element("SQ") for tag in EMPTY_SEQUENCES},
        INPUT: element("SQ", *inputs),
        STATIONS: element("SQ", *stations),
    }


def performed() -> Dataset:
    """What a performer writes before a workitem may be COMPLETED."""
    step = {
        PERFORMED_STATIONS: element("SQ", code("OTHER", "99SITE", "A station")),
        PERFORMED_CODES: element("SQ", code("110004", "DCM", "Computer Aided Detection")),
        STARTED: element("DT", "20261201080000"),
        ENDED: element("DT", "20261201080100"),
        OUTPUT: element("SQ", input_item("1.2.3", "1.2.3.4")),
    }
    return {PERFORMED: element("SQ", step)}


def discontinued() -> Dataset:
    """What a performer writes before a workitem may be CANCELED."""
    reason = code("110513", "DCM", "Discontinued for unspecified reason")
    return {
        PROGRESS: element("SQ", {CANCELED_AT: element("DT", "20261201080100"), REASONS: element("SQ", reason)}),
    }


@dataclass
class UpsClient:
    """Each method is one transaction of chapter 11, and returns the answer as the HTTP library has it."""

    http: Http
    root: str = "/dicom-web"
    content_type: str = "application/dicom+json"

    def create(self, uid: str | None, dataset: Any) -> Any:
        """11.4."""
        return self._send("POST", f"/workitems?{uid}" if uid else "/workitems", dataset)

    def retrieve(self, uid: str, accept: str = "application/dicom+json") -> Any:
        """11.5."""
        return self._ask(f"/workitems/{uid}", accept)

    def update(self, uid: str, changes: Any, transaction: str | None = None) -> Any:
        """11.6."""
        return self._send("POST", f"/workitems/{uid}" + (f"?{transaction}" if transaction else ""), changes)

    def change_state(self, uid: str, state: str, transaction: str | None) -> Any:
        """11.7."""
        body = {STATE: element("CS", state)} | ({TRANSACTION: element("UI", transaction)} if transaction else {})
        return self._send("PUT", f"/workitems/{uid}/state", body)

    def request_cancellation(self, uid: str, reason: Dataset | None = None) -> Any:
        """11.8."""
        return self._send("POST", f"/workitems/{uid}/cancelrequest", reason)

    def search(self, query: str = "", accept: str = "application/dicom+json") -> Any:
        """11.9."""
        return self._ask(f"/workitems?{query}", accept)

    def found(self, query: str = "") -> list[str]:
        """The UIDs of a search."""
        answer = self.search(query)
        assert answer.status_code == 200, answer.text
        return [each[SOP_INSTANCE]["Value"][0] for each in answer.json()]

    def workitem(self, uid: str) -> Dataset:
        """The data set of a workitem that is there."""
        answer = self.retrieve(uid)
        assert answer.status_code == 200, answer.text
        dataset: Dataset = answer.json()
        return dataset

    def state(self, uid: str) -> str:
        """Where a workitem stands."""
        return str(self.workitem(uid)[STATE]["Value"][0])

    def _ask(self, path: str, accept: str) -> Any:
        return self.http.request("GET", self.root + path, headers={"Accept": accept, "Cache-Control": "no-cache"})

    def _send(self, method: str, path: str, dataset: Any) -> Any:
        body = b"" if dataset is None else json.dumps(dataset).encode()
        return self.http.request(method, self.root + path, content=body, headers={"Content-Type": self.content_type})
