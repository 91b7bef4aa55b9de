"""How a series comes in by each door, as a client sends it that does not give up, and what the door then says of it."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, _config

from benchmarks.doors.series import Series
from benchmarks.doors.site import CALLER, Process, Site
from benchmarks.fuzz.bodies import form, related
from phantoms.slices import derived_uid

PATIENCE_S: Final = 180.0
AGAIN_AFTER_S: Final = 0.3
# Of a series, a job or a workitem: nothing more will become of it.
SETTLED: Final = ("delivered", "unfit", "left_out", "failed", "cancelled")
STATE, REASON, PROGRESS, REASONS = "00741000", "00741238", "00741002", "0074100E"


class GivenUp(Exception):
    """A door did not take a series, however often it was sent; says what it answered last."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a series stands, in the words of the service; `state` is empty where it knows nothing of it."""

    state: str
    code: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in SETTLED


class Sender(ABC):
    """Sends series by one door; `broken` and `busy` count what had to be sent again."""

    processes: ClassVar[tuple[Process, ...]] = ("serve",)

    def __init__(self, site: Site) -> None:
        self._site = site
        self.broken = 0
        self.busy = 0

    @abstractmethod
    def send(self, series: Series) -> None:
        """Send it until it is confirmed; raises GivenUp."""

    def standing(self, series: Series) -> Standing:
        """Where it stands."""
        path = f"/dicom-web/studies/{series.study_uid}/status"
        status, _, content = self._site.ask("GET", path)
        if status != HTTPStatus.OK:
            return Standing("")
        (found,) = json.loads(content)["series"]
        return Standing(found["state"], found["code"] or "")

    def insist(self, method: str, path: str, body: bytes, content_type: str, accept: str) -> tuple[int, Any, bytes]:
        """Status, headers and content of the first answer that is not 503; raises GivenUp."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            answer = self._site.ask(method, path, body, {"Content-Type": content_type, "Accept": accept})
            if answer[0] == HTTPStatus.SERVICE_UNAVAILABLE:
                self.busy += 1
                time.sleep(float(answer[1].get("Retry-After", AGAIN_AFTER_S)))
            elif answer[0] == 0:
                self.broken += 1
                time.sleep(AGAIN_AFTER_S)
            else:
                return answer
        raise GivenUp(f"{path}: {answer[0]}")


class Stow(Sender):
    """STOW-RS, all instances in one request."""

    def send(self, series: Series) -> None:
        """Send it until each instance is stored."""
        body = related(series.files)
        kind = "application/dicom+json"
        status, _, content = self.insist("POST", "/dicom-web/studies", body.written(), body.content_type(), kind)
        if status != HTTPStatus.OK:
            raise GivenUp(f"{status}: {content[:200]!r}")


class Jobs(Sender):
    """What has jobs: a series is settled when each job of it is."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._jobs: dict[int, list[str]] = defaultdict(list)

    def accepted(self, series: Series, answer: tuple[int, Any, bytes]) -> None:
        """Remember the job; raises GivenUp where there is none."""
        status, headers, content = answer
        if status != HTTPStatus.ACCEPTED:
            raise GivenUp(f"{status}: {content[:200]!r}")
        self._jobs[series.number].append(headers["Location"])

    def standing(self, series: Series) -> Standing:
        """Where it stands: what its job says while that is not settled, or was never begun."""
        for path in self._jobs[series.number]:
            status, _, content = self._site.ask("GET", path)
            if status != HTTPStatus.OK:
                return Standing("")
            job = json.loads(content)
            own = Standing(job["state"], job["code"] or "")
            if not own.is_settled or not job["series"]:
                return own
            if own.state == "delivered" and not all(each["result"] for each in job["series"]):
                return Standing("delivered", "no result in the job")
        return super().standing(series)


class Async(Jobs):
    """`POST /v1/studies?async=true`."""

    def send(self, series: Series) -> None:
        """Send it until there is a job."""
        body = form(series.files, "files")
        path = "/v1/studies?async=true"
        self.accepted(series, self.insist("POST", path, body.written(), body.content_type(), "application/json"))


class Pull(Jobs):
    """`POST /v1/pull`."""

    def send(self, series: Series) -> None:
        """Ask for it until there is a job."""
        body = json.dumps({"study_instance_uid": series.study_uid}).encode()
        self.accepted(series, self.insist("POST", "/v1/pull", body, "application/json", "application/json"))


class Worklist(Sender):
    """UPS-RS: a workitem for each series."""

    def send(self, series: Series) -> None:
        """Create it until it is there: 409 says that it is, when an answer was lost."""
        body = json.dumps(_workitem(series)).encode()
        path = f"/dicom-web/workitems?{_workitem_uid(series)}"
        status, _, content = self.insist("POST", path, body, "application/dicom+json", "application/dicom+json")
        if status not in (HTTPStatus.CREATED, HTTPStatus.CONFLICT):
            raise GivenUp(f"{status}: {content[:200]!r}")

    def standing(self, series: Series) -> Standing:
        """Where it stands: its workitem while that is not COMPLETED."""
        path = f"/dicom-web/workitems/{_workitem_uid(series)}"
        status, _, content = self._site.ask("GET", path, None, {"Accept": "application/dicom+json"})
        if status != HTTPStatus.OK:
            return Standing("")
        workitem = json.loads(content)
        (state,) = workitem[STATE]["Value"]
        if state == "CANCELED":
            return Standing("failed", json.dumps(workitem.get(PROGRESS, {}).get("Value", [])))
        return super().standing(series) if state == "COMPLETED" else Standing(state)


def _workitem_uid(series: Series) -> str:
    return derived_uid(f"workitem {series.number}")


def _workitem(series: Series) -> dict[str, Any]:
    """The least that N-CREATE takes (PS3.4 table CC.2.5-3)."""
    item = {
        "0040E020": {"vr": "CS", "Value": ["DICOM"]},
        "0020000D": {"vr": "UI", "Value": [series.study_uid]},
        "0020000E": {"vr": "UI", "Value": [series.uid]},
    }
    empty = {
        **dict.fromkeys(("00404018", "00404025", "00404026", "00404027", "00741210", "00741002", "00741216"), "SQ"),
        **dict.fromkeys(("00101002", "00380014", "00081084", "0040A370"), "SQ"),
        "00741202": "LO",
        "00400400": "LT",
        "00100010": "PN",
        "00100030": "DA",
        "00100040": "CS",
        "00380010": "LO",
        "00081080": "LO",
    }
    return {
        **{tag: {"vr": vr} for tag, vr in empty.items()},
        STATE: {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741200": {"vr": "CS", "Value": ["MEDIUM"]},
        "00741204": {"vr": "LO", "Value": ["Lung nodules"]},
        "00404005": {"vr": "DT", "Value": ["20261201080000+0000"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00404021": {"vr": "SQ", "Value": [item]},
    }


class CStore(Sender):
    """C-STORE, all instances in one association; what was not confirmed is sent again in another."""

    processes = ("serve", "dimse")

    def send(self, series: Series) -> None:
        """Send it until each instance is stored."""
        left, deadline = list(series.instances), time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline:
            left = left[self._stored(left) :]
            if left:
                self.broken += 1
                time.sleep(AGAIN_AFTER_S)
        if left:
            raise GivenUp(f"{len(left)} instances")

    def _stored(self, instances: list[Dataset]) -> int:
        """How many were confirmed before one was not."""
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(CALLER)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        association = entity.associate("127.0.0.1", self._site.ports["dimse"], ae_title="LUNGSCOPE")
        stored = 0
        try:
            for each in instances if association.is_established else ():
                if association.send_c_store(each).get("Status") != 0:
                    break
                stored += 1
        except (RuntimeError, ValueError):
            pass  # the association has ended
        if association.is_established:
            association.release()
        return stored


SENDERS: Final[dict[str, type[Sender]]] = {
    "stow": Stow,
    "async": Async,
    "cstore": CStore,
    "pull": Pull,
    "worklist": Worklist,
}
