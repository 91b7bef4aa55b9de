"""Ordinary callers beside a fault: what they were promised, and what they got."""

from __future__ import annotations

import http.client
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.fuzz.bodies import related
from benchmarks.serving.service import PATIENCE_S, Service, eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid, example_slice

CALLERS: Final = 3
LOST: Final = "connection lost"
OF_ANOTHER: Final = "an answer to another request"


class Callers:
    """Some who send compressed slices, each on a lasting connection and the next when the last is answered."""

    def __init__(self, service: Service, authorization: str) -> None:
        self._service = service
        self._headers = {"Content-Type": "application/dicom", "Authorization": authorization}
        self._slice = example_slice()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.got: Counter[str | int] = Counter()
        self.answered: set[str] = set()

    @contextmanager
    def calling(self, answered: int = 200) -> Iterator[None]:
        """They call within the block; when it begins and before it ends some of them are answered with this status."""
        threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        self._stop.clear()
        for each in threads:
            each.start()
        try:
            self.wait_for_answers(answered)
            yield
            self.wait_for_answers(answered)
        finally:
            self._stop.set()
            for each in threads:
                each.join(PATIENCE_S)

    def wait_for_answers(self, status: int = 200) -> None:
        """Some more slices are answered so."""
        before = self.got[status]
        eventually(lambda: self.got[status] >= before + 2 * CALLERS)

    def take(self) -> Counter[str | int]:
        """How often they got what since the last call."""
        with self._lock:
            got, self.got = self.got, Counter()
        return got

    def _call(self) -> None:
        connection = self._connection()
        while not self._stop.is_set():
            name = str(uuid.uuid4())
            try:
                connection.request("POST", "/v1/predict", self._slice, {**self._headers, "X-Request-ID": name})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self._count(LOST, name)
                connection.close()
                connection = self._connection()
                continue
            self._count(answer.status if answer.headers["X-Request-ID"] == name else OF_ANOTHER, name)
        connection.close()

    def _count(self, got: str | int, name: str) -> None:
        with self._lock:
            self.got[got] += 1
            if got == 200:
                self.answered.add(name)

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=PATIENCE_S)


class Sender:
    """Sends series by STOW-RS, and keeps the studies whose storage was confirmed."""

    def __init__(self, service: Service, authorization: str) -> None:
        self._service = service
        self._authorization = authorization
        self._number = 0
        self.stored: list[str] = []

    def send(self) -> int:
        """Send another series; returns the status."""
        self._number += 1
        study = derived_uid(f"study beside faults {self._number}")
        uids = [f"{study}.1.{n}" for n in range(SLICES)]
        files = [
            slice_file(n, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=uid)
            for n, uid in enumerate(uids)
        ]
        body = related(files)
        status, _ = self._ask("POST", "/dicom-web/studies", body.written(), {"Content-Type": body.content_type()})
        if status == 200:
            self.stored.append(study)
        return status

    def await_results(self) -> None:
        """All that was stored is judged."""
        eventually(lambda: all(map(self._is_judged, self.stored)))

    def _is_judged(self, study: str) -> bool:
        return self._ask("GET", f"/dicom-web/studies/{study}/instances")[1] not in (b"", b"[]")

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=PATIENCE_S)
        accept = {"Accept": "application/dicom+json", "Authorization": self._authorization}
        try:
            connection.request(method, path, body, {**accept, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()
